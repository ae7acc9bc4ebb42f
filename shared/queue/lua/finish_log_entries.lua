-- Deletes what has been written and gives the lock back, unless another writer has the lock by now.
--
-- KEYS  1 the entries, 2 the counts that are being written, 3 the writer's lock, 4 bodies by tenant and hash, 5 their
--       total bytes
-- ARGV  1 the writer, 2 how many entries, 3 how many counts, 4 on: the counts' fields, then the keys of entries' bodies
-- Returns 1, or 0 where the lock was lost
if redis.call("GET", KEYS[3]) ~= ARGV[1] then return 0 end
redis.call("LTRIM", KEYS[1], ARGV[2], -1)
local counts = tonumber(ARGV[3])
for i = 4, 3 + counts do redis.call("HDEL", KEYS[2], ARGV[i]) end
if redis.call("HLEN", KEYS[2]) <= 1 then redis.call("DEL", KEYS[2]) end
for i = 4 + counts, #ARGV do
  local size = redis.call("HSTRLEN", KEYS[4], ARGV[i])
  if size > 0 then
    redis.call("HDEL", KEYS[4], ARGV[i])
    redis.call("DECRBY", KEYS[5], size)
  end
end
redis.call("DEL", KEYS[3])
return 1
