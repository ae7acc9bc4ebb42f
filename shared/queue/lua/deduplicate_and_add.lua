-- Admits a job, all or nothing: recognises a duplicate by its claim, takes tokens of its rate limits, adds the job as BullMQ
-- does, and counts the live drains. Claim and job are written together: a claim without its job would make the sender's
-- next attempt a "duplicate" of a delivery that never runs.
--
-- KEYS  1–9 those of BullMQ's addStandardJob, 10 the delivery's claim; of a job without one, the mark that its run was
--       signalled (the same key as 11: no mark), 11 the live drains, 12 the job itself, 13 the published version of the
--       delivery's workflow (the same key as 11: not checked), 14 on: token buckets
-- ARGV  1–4 those of addStandardJob, 5 the claim ("": none, the job is added in any case), 6 the lifetime of claim or
--       mark in seconds, 7 "1": where this very claim stands and its job is gone, the job is added again, 8 on: for each
--       token bucket, tokens per second and capacity
-- Returns {the claim that stood before or false, how many drains are live, or minus the milliseconds until a token is
--          available, whether the claim's job is in the queue: "queued" or "gone"; or "unpublished"}
local function add_job()
--<addStandardJob-9.lua>
end
--<take_tokens>

local taken, place = false, "queued"
if ARGV[5] ~= "" then
  taken = redis.call("GET", KEYS[10])
end
-- A job that another client has finished does not run any more, even where that client keeps it.
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
  -- After the job: a script that fails half-way is not rolled back, and there must be no claim without its job.
  if ARGV[5] ~= "" then
    redis.call("SET", KEYS[10], ARGV[5], "EX", ARGV[6])
  elseif KEYS[10] ~= KEYS[11] then
    redis.call("SET", KEYS[10], "1", "EX", ARGV[6])
  end
end
-- Counted after the add, atomically with it: a drain withdraws first and then checks the queue once more, so either it
-- is no longer counted here, or it sees the job.
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
return {taken, redis.call("ZCOUNT", KEYS[11], now, "+inf"), place}
