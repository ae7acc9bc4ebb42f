-- Applies the rate limits to a delivery that does not go through the queue.
--
-- KEYS  token buckets; ARGV for each, tokens per second and capacity
-- Returns 0, or the milliseconds until a token is available
--<take_tokens>
return take_tokens(1, 1)
