-- Counts one more client of a tenant that waits, unless there are enough.
-- KEYS 1 the tenant's waiting clients, by when each gives up at the latest (milliseconds of the server's clock)
-- ARGV 1 the client's token, 2 for how many milliseconds it counts, 3 how many may wait
-- Returns 1 when it may wait, else 0
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call("ZREMRANGEBYSCORE", KEYS[1], "-inf", now)
if redis.call("ZCARD", KEYS[1]) >= tonumber(ARGV[3]) then
  return 0
end
redis.call("ZADD", KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
-- The key lives as long as the client that may wait longest.
if redis.call("PTTL", KEYS[1]) < tonumber(ARGV[2]) then
  redis.call("PEXPIRE", KEYS[1], ARGV[2])
end
return 1
