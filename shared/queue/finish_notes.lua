-- Forgets what has been written, unless somebody else writes by now.
--
-- KEYS  1 the lines, 2 the counts that were written, 3 the writer, 4 bodies by tenant and hash, 5 their bytes together
-- ARGV  1 the writer, 2 how many lines, 3 on: the keys of their bodies
if redis.call("GET", KEYS[3]) ~= ARGV[1] then return 0 end
redis.call("LTRIM", KEYS[1], ARGV[2], -1)
redis.call("DEL", KEYS[2])
for i = 3, #ARGV do
  local size = redis.call("HSTRLEN", KEYS[4], ARGV[i])
  if size > 0 then
    redis.call("HDEL", KEYS[4], ARGV[i])
    redis.call("DECRBY", KEYS[5], size)
  end
end
redis.call("DEL", KEYS[3])
return 1
