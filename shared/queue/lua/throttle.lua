-- Counts a delivery that does not go through the queue.
--
-- KEYS  buckets of tokens; ARGV for each, tokens a second and how many it holds
-- Returns 0, or how many milliseconds it takes until there is a token
--<take_tokens>
return take_tokens(1, 1)
