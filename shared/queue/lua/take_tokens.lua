-- Takes a token from each bucket, KEYS[key] on, whose rates a second and sizes are ARGV[argument] on; 0 where it has.
-- Tokens are taken from all or from none: a webhook at its limit does not use up its tenant's. From none, it returns how
-- many milliseconds it takes until there is one.
local function take_tokens(key, argument)
  local time = redis.call("TIME")
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  local levels = {}
  for i = key, #KEYS do
    local rate, size = tonumber(ARGV[argument + (i - key) * 2]), tonumber(ARGV[argument + 1 + (i - key) * 2])
    local bucket = redis.call("HMGET", KEYS[i], "level", "at")
    local level = math.min(size, (tonumber(bucket[1]) or size) + (now - (tonumber(bucket[2]) or now)) * rate / 1000)
    if level < 1 then
      return math.max(1, math.ceil((1 - level) * 1000 / rate))
    end
    levels[i] = level - 1
  end
  for i = key, #KEYS do
    redis.call("HSET", KEYS[i], "level", tostring(levels[i]), "at", now)
    redis.call("EXPIRE", KEYS[i], 3600)
  end
  return 0
end
