-- A batch of log entries for the one drain that has the writer's lock. Counts are moved aside under the name of their
-- batch first: a writer that dies half-way leaves the same counts, under the same name, to the next one.
--
-- KEYS  1 the entries, 2 the counts, 3 the writer's lock, 4 the counts that are being written
-- ARGV  1 the writer, 2 the lock's lifetime in seconds, 3 how many entries, 4 a name for a new batch of counts,
--       5 how many bytes of entries (one entry at least), 6 about how many counts
-- Returns {entries, counts, the name of their batch, how many entries wait, how many counts, whether other counts wait},
-- or false while another writer has the lock, or when there is nothing
-- A writer that was interrupted has the lock still and goes on with the same entries; others wait until it expires.
if not redis.call("SET", KEYS[3], ARGV[1], "NX", "EX", ARGV[2]) then
  if redis.call("GET", KEYS[3]) ~= ARGV[1] then return false end
  redis.call("EXPIRE", KEYS[3], ARGV[2])
end
if redis.call("EXISTS", KEYS[4]) == 0 and redis.call("EXISTS", KEYS[2]) == 1 then
  redis.call("RENAME", KEYS[2], KEYS[4])
  redis.call("HSET", KEYS[4], "batch", ARGV[4])
end
local waiting = redis.call("LLEN", KEYS[1])
if waiting == 0 and redis.call("EXISTS", KEYS[4]) == 0 then
  redis.call("DEL", KEYS[3])
  return false
end
local lines, size = {}, 0
for i, line in ipairs(redis.call("LRANGE", KEYS[1], 0, ARGV[3] - 1)) do
  size = size + #line
  if i > 1 and size > tonumber(ARGV[5]) then break end
  lines[i] = line
end
-- Any page of the counts will do: those that were written are deleted, so the next call finds the rest.
local counts, cursor = {}, "0"
repeat
  local page = redis.call("HSCAN", KEYS[4], cursor, "COUNT", ARGV[6])
  cursor = page[1]
  for i = 1, #page[2], 2 do
    if page[2][i] ~= "batch" then
      counts[#counts + 1] = page[2][i]
      counts[#counts + 1] = page[2][i + 1]
    end
  end
until #counts > 0 or cursor == "0"
local batch = redis.call("HGET", KEYS[4], "batch") or ""
local left = redis.call("HLEN", KEYS[4]) - redis.call("HEXISTS", KEYS[4], "batch")
return {lines, counts, batch, waiting, left, redis.call("EXISTS", KEYS[2])}
