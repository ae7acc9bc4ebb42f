-- Takes a token from each token bucket: KEYS[key] on, with their rates per second and capacities in ARGV[argument] on.
-- Tokens are taken from all buckets or from none, so that a webhook at its limit does not use up its tenant's.
-- Returns 0, or where none was taken the milliseconds until a token is available
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
