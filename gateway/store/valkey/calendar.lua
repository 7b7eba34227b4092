-- Is it a day of now? Hosts tell days by this server's clock, as they have learned it with their last beat, and no place's
-- day is more than one off from the one in UTC. Whoever says another one has learned the time before that was set: it is
-- told the time, and asks anew.
local FIRST_DAY = 739617 -- of 2026, from when now() counts, as Python's date.toordinal numbers days

local function is_day_of_now(windows)
  return math.abs(windows[1] - FIRST_DAY - math.floor(now() / 86400)) <= 1
end
