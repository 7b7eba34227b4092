-- Is it the day that a host says? By the server's clock, whose day in UTC is at most one off from that of any place. Where
-- hosts' clocks are days apart, each of them would else begin a new day over and over, and no quota would ever be used up.
local FIRST_DAY = 739617 -- of 2026, from when now() counts, as Python's date.toordinal numbers days

-- The number of a day's month (see core/months.py): years are counted from March on, so that February is last.
local function month_of(day)
  local since = day + 305 -- days from March of year 0 on
  local era = math.floor(since / 146097)
  local of_era = since - era * 146097
  local leaps = math.floor(of_era / 1460) - math.floor(of_era / 36524) + math.floor(of_era / 146096)
  local year = math.floor((of_era - leaps) / 365)
  local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  return (era * 400 + year) * 12 + math.floor((5 * of_year + 2) / 153) + 3
end

-- A host's day and month for an account that counts in some day: the same table, unless the server's clock bears out the
-- account's day and not the host's. Then the nearest that it does bear out. Where it bears out neither, it may be wrong.
local function plausible(windows, counts_in)
  local today = math.floor(now() / 86400) + FIRST_DAY
  if math.abs(windows[1] - today) <= 1 or math.abs(counts_in - today) > 1 then return windows end
  local day = windows[1] > today and today + 1 or today - 1
  return {day, month_of(day)}
end
