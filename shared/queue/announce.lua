-- Says that a drain is live for some milliseconds more, by the server's clock, and forgets those whose time is over.
-- KEYS 1 the live drains; ARGV 1 the drain's id, 2 milliseconds (0: it is leaving)
-- Returns how many drains are live
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if tonumber(ARGV[2]) > 0 then
  redis.call("ZADD", KEYS[1], now + ARGV[2], ARGV[1])
elseif ARGV[1] ~= "" then
  redis.call("ZREM", KEYS[1], ARGV[1])
end
redis.call("ZREMRANGEBYSCORE", KEYS[1], "-inf", "(" .. now)
return redis.call("ZCARD", KEYS[1])
