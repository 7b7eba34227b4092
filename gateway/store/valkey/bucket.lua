-- One take from one bucket: the arithmetic of store/bucket.py on the server's own clock.
-- KEYS: bucket. ARGV: rate, capacity, cost. Returns granted, remaining, retry_after, reset_after.
local SLACK = 1e-6
local rate, capacity, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = now()
local missing = (tonumber(redis.call('GET', KEYS[1]) or '') or time) - time
local changed = false
if missing < 0 then
  missing = 0
elseif missing * rate > capacity then
  missing = capacity / rate
  changed = true -- the server's clock was set back: refusals alone must not keep the bucket empty until it catches up
end
local tokens = capacity - missing * rate
local granted = tokens + SLACK >= cost
if granted and cost > 0 then
  tokens = tokens - cost
  missing = missing + cost / rate
  changed = true
end
if changed then -- a full bucket is the same as none, so the record ends when the bucket is full
  redis.call('SET', KEYS[1], string.format('%.17g', time + missing), 'PX', math.ceil(missing * 1000) + 1)
end
local short = (cost > 0 and cost or 1) - tokens
local wait = short > SLACK and short / rate or 0
return {granted and 1 or 0, string.format('%.17g', math.max(tokens, 0)), string.format('%.17g', wait),
        string.format('%.17g', missing)}
