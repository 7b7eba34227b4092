-- Seconds since the beginning of 2026, by the server's clock; a small number keeps microseconds exact in a float.
local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) - 1767225600 + tonumber(time[2]) / 1e6
end
