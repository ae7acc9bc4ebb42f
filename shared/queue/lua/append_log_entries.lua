-- Leaves an entry for the delivery log, or counts it where there are too many, and says whether a drain should be woken.
--
-- KEYS  1 the entries, 2 the counts, 3 this webhook's entries in this minute, 4 bodies by tenant and hash, 5 their total
--       bytes, 6 this webhook's refusals in this hour, 7 the live drains, 8 set while a drain is being woken for entries
-- ARGV  1 the entry, 2 its field among the counts, 3 entries a minute, 4 entries that may wait, 5 the body's key,
--       6 the body ("": none), 7 bytes that may wait, 8 refused: "1" or "", 9 refused entries an hour, 10 bytes of their
--       bodies
-- Returns 1 when the caller should wake a drain, else 0
local refused = ARGV[8] == "1"
local lines = redis.call("INCR", KEYS[3])
if lines == 1 then redis.call("EXPIRE", KEYS[3], 60) end
local full = lines > tonumber(ARGV[3]) or redis.call("LLEN", KEYS[1]) >= tonumber(ARGV[4])
if refused and not full then
  lines = redis.call("HINCRBY", KEYS[6], "lines", 1)
  if lines == 1 then redis.call("EXPIRE", KEYS[6], 3600) end
  full = lines > tonumber(ARGV[9])
end
if full then
  redis.call("HINCRBY", KEYS[2], ARGV[2], 1)
else
  redis.call("RPUSH", KEYS[1], ARGV[1])
  if ARGV[6] ~= "" and redis.call("HEXISTS", KEYS[4], ARGV[5]) == 0 then
    local size = #ARGV[6]
    local fits = tonumber(redis.call("GET", KEYS[5]) or 0) + size <= tonumber(ARGV[7])
    if fits and refused then
      fits = tonumber(redis.call("HGET", KEYS[6], "bytes") or 0) + size <= tonumber(ARGV[10])
    end
    if fits then
      redis.call("HSET", KEYS[4], ARGV[5], ARGV[6])
      redis.call("INCRBY", KEYS[5], size)
      if refused then redis.call("HINCRBY", KEYS[6], "bytes", size) end
    end
  end
end
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if redis.call("ZCOUNT", KEYS[7], now, "+inf") == 0 and redis.call("SET", KEYS[8], "1", "NX", "EX", 10) then
  return 1
end
return 0
