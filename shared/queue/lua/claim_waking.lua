-- Lets one caller at a time invoke a drain, and none while there are enough.
-- KEYS 1 the live drains, 2 the token under which one is being invoked
-- ARGV 1 the caller's token, 2 its lifetime in milliseconds, 3 how many drains there may be
-- Returns 1 when the caller must invoke one, else 0
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if redis.call("ZCOUNT", KEYS[1], now, "+inf") >= tonumber(ARGV[3]) then
  return 0
end
return redis.call("SET", KEYS[2], ARGV[1], "NX", "PX", ARGV[2]) and 1 or 0
