-- A drain's heartbeat: it is live for some milliseconds more, by the server's clock. Drains whose heartbeat has expired
-- are removed.
-- KEYS 1 the live drains, 2 the token under which one is being invoked
-- ARGV 1 the drain's id, 2 milliseconds (0: it is leaving), 3 the token under which this drain was invoked ("": none)
-- Returns how many drains are live
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if tonumber(ARGV[2]) > 0 then
  redis.call("ZADD", KEYS[1], now + ARGV[2], ARGV[1])
elseif ARGV[1] ~= "" then
  redis.call("ZREM", KEYS[1], ARGV[1])
end
-- Another token stays: the drain that was invoked under it has not come yet, and until then no other one is invoked.
if ARGV[3] ~= "" and redis.call("GET", KEYS[2]) == ARGV[3] then
  redis.call("DEL", KEYS[2])
end
redis.call("ZREMRANGEBYSCORE", KEYS[1], "-inf", "(" .. now)
return redis.call("ZCARD", KEYS[1])
