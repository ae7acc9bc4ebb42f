-- Takes a job in: claims its delivery, adds it as BullMQ does, and looks for a live drain; all of it or nothing.
-- A claim that could survive without its job would turn the sender's next attempt into a "duplicate" of nothing.
--
-- KEYS  1–9 those of BullMQ's addStandardJob, 10 the delivery's claim or, without one, the mark that the run is to be
--       looked at again should a drain have it now (the same as 11: none), 11 the live drains, 12 the job itself,
--       13 the published version of the workflow that a delivery is for (the same as 11: not looked at)
-- ARGV  1–4 those of addStandardJob, 5 the claim ("": none, the job is added in any case), 6 its lifetime in seconds,
--       or the mark's, 7 "1": where this very claim stands and its job is gone, it is added again
-- KEYS  14 on: buckets of tokens; ARGV 8 on: for each, tokens a second and how many it holds
-- Returns {the claim that stood there before or false, how many drains are live, or -milliseconds until a token is
--          there, whether the job of that claim is in the queue: "queued" or "gone"; or "unpublished"}
local function add_job()
--<addStandardJob-9.lua>
end
--<take_tokens>

local taken, place = false, "queued"
if ARGV[5] ~= "" then
  taken = redis.call("GET", KEYS[10])
end
-- What another client has finished will not run any more, also where it keeps the job.
local is_finished = redis.call("HEXISTS", KEYS[12], "finishedOn") == 1
if taken and (is_finished or redis.call("EXISTS", KEYS[12]) == 0) then
  place = "gone"
  if ARGV[7] == "1" and taken == ARGV[5] then
    taken, place = false, "queued"
  end
end
if not taken and KEYS[13] ~= KEYS[11] and redis.call("GET", KEYS[13]) == "0" then
  return {false, 0, "unpublished"}
end
if not taken and KEYS[14] then
  local wait = take_tokens(14, 8)
  if wait > 0 then
    return {false, -wait, place}
  end
end
if not taken then
  if is_finished then
    -- A job's id is a UUID, and its key the queue's prefix with that.
    local id, prefix = string.sub(KEYS[12], -36), string.sub(KEYS[12], 1, -37)
    redis.call("ZREM", KEYS[5], id)
    redis.call("ZREM", prefix .. "failed", id)
    redis.call("DEL", KEYS[12])
  end
  add_job()
  -- After the job: where adding it fails, there must be no claim that makes the next attempt a "duplicate" of nothing.
  if ARGV[5] ~= "" then
    redis.call("SET", KEYS[10], ARGV[5], "EX", ARGV[6])
  elseif KEYS[10] ~= KEYS[11] then
    redis.call("SET", KEYS[10], "1", "EX", ARGV[6])
  end
end
-- Looked at after the add, in the same instant: a drain withdraws first and then checks the queue once more, so
-- either it is no longer counted here, or it sees the job.
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
return {taken, redis.call("ZCOUNT", KEYS[11], now, "+inf"), place}
