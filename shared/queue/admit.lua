-- Takes a job in: claims its delivery, adds it as BullMQ does, and looks for a live drain; all of it or nothing.
-- A claim that could survive without its job would turn the sender's next attempt into a "duplicate" of nothing.
--
-- KEYS  1–9 those of BullMQ's addStandardJob, 10 the delivery's claim, 11 the live drains
-- ARGV  1–4 those of addStandardJob, 5 the claim ("": none, the job is added in any case), 6 its lifetime in seconds
-- Returns {the claim that stood there before or false, how many drains are live}
local function add_job()
--<addStandardJob>
end

local taken = false
if ARGV[5] ~= "" then
  taken = redis.call("GET", KEYS[10])
  if not taken then
    redis.call("SET", KEYS[10], ARGV[5], "EX", ARGV[6])
  end
end
if not taken then
  add_job()
end
-- Looked at after the add, in the same instant: a drain withdraws first and then checks the queue once more, so
-- either it is no longer counted here, or it sees the job.
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
return {taken, redis.call("ZCOUNT", KEYS[11], now, "+inf")}
