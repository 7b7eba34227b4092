-- The accounts of organizations and API keys: what store/account.py does, with the minute told by the server. Each has
-- ten numbers under a key of its own: one API key may be used by several organizations, where these are addresses.
-- KEYS: reserved, of one organization (member, `worker:token` -> what its request has set aside), and of all together:
-- the names of the keys of accounts there may be, how many accounts there may be, and the epoch.
-- ARGV: the operation, and what it needs, packed. Times are whole microseconds, so that a minute holds its limit exactly.
local reserved, index, bound, epoch = unpack(KEYS)
local MINUTE, MOST, KEPT_SECS = 60e6, 2 ^ 53, 40 * 86400 -- longer than a month: who is not seen so long has used nothing
local REQUESTS_FULL, TOKENS_FULL, DAY, MONTH, RESTORED_DAY, RESTORED_MONTH = 1, 2, 3, 6, 9, 10 -- as account.State, from 1
local NUMBERS = '>dddddddddd'
local SAMPLE = 16
local time = math.floor(now() * 1e6 + 0.5)
local layout = index:match('^{.-}:')
local unknown = {} -- names that were read and are not there

local function key_of(name) return layout .. '{o:' .. name .. '}:account' end

local function read(name)
  local record = redis.call('GET', key_of(name))
  if record then return {struct.unpack(NUMBERS, record)} end
  unknown[name] = true
  return {0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
end

local function too_many() return redis.call('SCARD', index) > tonumber(redis.call('GET', bound) or '100000') end

-- One account too many costs the place of one of a few drawn by lot: who has used nothing of late, or else the least,
-- so that a quota is the last to be had again by a flood of organizations (see account.choose_victims).
local function make_room(new)
  local victim, least, oldest
  for _, key in ipairs(redis.call('SRANDMEMBER', index, SAMPLE)) do
    local record = redis.call('GET', key)
    if not record then
      redis.call('SREM', index, key)
    elseif key ~= new and redis.call('EXISTS', (key:gsub('account$', 'reserved'))) == 0 then
      local state = {struct.unpack(NUMBERS, record)}
      local month, tokens = state[MONTH], state[MONTH + 2]
      if not victim or month < oldest or month == oldest and tokens < least then
        victim, least, oldest = key, tokens, month
      end
    end
  end
  if victim and too_many() then
    redis.call('DEL', victim)
    redis.call('SREM', index, victim)
  end
end

local function write(name, state)
  local key = key_of(name)
  redis.call('SET', key, struct.pack(NUMBERS, unpack(state, 1, 10)), 'EX', KEPT_SECS)
  if not unknown[name] then return end
  unknown[name] = nil
  redis.call('SADD', index, key)
  redis.call('EXPIRE', index, KEPT_SECS)
  if too_many() then make_room(key) end
end

-- See account.turn.
local function turn(state, windows)
  for at, place in ipairs({DAY, MONTH}) do
    if windows[at] > state[place] then
      state[place], state[place + 1], state[place + 2] = windows[at], 0, 0
    elseif windows[at] < state[place] - 1 then
      state[place] = windows[at]
    end
  end
end

local function shown(state)
  return {math.max(state[REQUESTS_FULL] - time, 0), math.max(state[TOKENS_FULL] - time, 0), unpack(state, DAY, 8)}
end

-- See account.charge: whether it fits. Limits stand as in AccountLimits.
local function charge(state, limits, tokens)
  for at, amount in ipairs({1, tokens, 1, tokens}) do
    local place = (at <= 2 and DAY or MONTH) + 1 + (at - 1) % 2
    state[place] = math.min(state[place] + amount, MOST)
    if limits[at + 2] > 0 and state[place] > limits[at + 2] then return false end
  end
  for at, amount in ipairs({1, tokens}) do
    if limits[at] > 0 then
      state[at] = math.max(state[at], time) + math.floor(amount * MINUTE / limits[at])
      if state[at] - time > MINUTE then return false end
    end
  end
  return true
end

-- See account.settle: `counted` is {name, windows, requests and tokens per minute} of each account.
local function replace(held, requests, tokens)
  local more = tokens - held.tokens
  for _, counted in ipairs(held.counted) do
    local name, windows, limits = unpack(counted)
    local state = read(name)
    if unknown[name] then -- see account.forgotten
      state = {0, 0, windows[1], 1, held.tokens, windows[2], 1, held.tokens, 0, 0}
    end
    for at, place in ipairs({DAY, MONTH}) do
      if state[place] == windows[at] then
        state[place + 1] = math.max(state[place + 1] - (1 - requests), 0)
        state[place + 2] = math.min(math.max(state[place + 2] + more, 0), MOST)
      end
    end
    if limits[2] > 0 then
      local since = more > 0 and math.max(state[TOKENS_FULL], time) or state[TOKENS_FULL]
      state[TOKENS_FULL] = since + math.floor(more * MINUTE / limits[2])
    end
    if limits[1] > 0 and requests == 0 then
      state[REQUESTS_FULL] = state[REQUESTS_FULL] - math.floor(MINUTE / limits[1])
    end
    write(name, state)
  end
end

-- Counts what nobody has decided here, in the calendar's windows alone: a share of the minutes was kept elsewhere.
local function add(name, windows, requests, tokens)
  local state = read(name)
  for at, place in ipairs({DAY, MONTH}) do
    if windows[at] > state[place] then state[place], state[place + 1], state[place + 2] = windows[at], 0, 0 end
    if windows[at] == state[place] then
      state[place + 1] = math.min(state[place + 1] + requests, MOST)
      state[place + 2] = math.min(state[place + 2] + tokens, MOST)
    end
  end
  write(name, state)
end

local function take_back(member)
  local held = redis.call('HGET', reserved, member)
  if not held then return nil end
  redis.call('HDEL', reserved, member)
  return cmsgpack.unpack(held)
end

local function mine(worker)
  local found = {}
  for _, member in ipairs(redis.call('HKEYS', reserved)) do
    if member:sub(1, #worker + 1) == worker .. ':' then found[#found + 1] = member end
  end
  return found
end

local operations = {}

-- member, {claims, tokens, windows, will}, the epoch that the worker has joined: whether it is reserved, and the
-- accounts, as they are then; or the time, where `windows` are not of now. A server that has lost what was counted decides
-- nothing before its workers have joined anew.
function operations.reserve(member, asked, joined)
  if redis.call('GET', epoch) ~= joined then return redis.error_reply('LOST what was counted is gone') end
  local claims, tokens, windows, will = unpack(cmsgpack.unpack(asked))
  if not is_day_of_now(windows) then return cmsgpack.pack(now()) end
  local states, counted, before, after, fits = {}, {}, {}, {}, true
  for at, claim in ipairs(claims) do
    local name, limits = unpack(claim)
    local state = read(name)
    turn(state, windows)
    before[at] = shown(state)
    counted[at] = {name, {state[DAY], state[MONTH]}, {limits[1], limits[2]}}
    fits = charge(state, limits, tokens) and fits
    states[at], after[at] = state, shown(state)
  end
  if not fits then return cmsgpack.pack({false, before}) end
  for at, state in ipairs(states) do write(counted[at][1], state) end
  redis.call('HSET', reserved, member, cmsgpack.pack({tokens = tokens, will = will, counted = counted}))
  return cmsgpack.pack({true, after})
end

-- Of each request that has ended: {member, requests, tokens}. Those that are not there were settled, or buried.
function operations.settle(ended)
  for _, one in ipairs(cmsgpack.unpack(ended)) do
    local held = take_back(one[1])
    if held then replace(held, one[2], one[3]) end
  end
  return 0
end

-- What was used while the server was away: {account, windows, requests, tokens} of each.
function operations.add(used)
  for _, one in ipairs(cmsgpack.unpack(used)) do add(unpack(one)) end
  return 0
end

-- worker, {member, tokens, will, counted} of each of its requests that run: counts those that are missing.
-- `alone`: these are all; others were asked for in vain.
function operations.sync(worker, running, alone)
  local known = {}
  for _, one in ipairs(cmsgpack.unpack(running)) do
    local member, tokens, will, counted = unpack(one)
    known[member] = true
    local held = cmsgpack.pack({tokens = tokens, will = will, counted = counted})
    if redis.call('HSETNX', reserved, member, held) == 1 then
      for _, account in ipairs(counted) do add(account[1], account[2], 1, tokens) end
    end
  end
  for _, member in ipairs(alone == '1' and mine(worker) or {}) do
    if not known[member] then replace(take_back(member), 0, 0) end
  end
  return 0
end

-- worker, which is gone; `willed`: its host books its requests as their wills say. Otherwise nobody does.
function operations.strike(worker, willed)
  for _, member in ipairs(mine(worker)) do
    local held = take_back(member)
    if willed == '1' then replace(held, 1, held.will) else replace(held, 0, 0) end
  end
  return 0
end

-- account, windows: what it has used, or the time.
function operations.standing(name, asked)
  local windows = cmsgpack.unpack(asked)
  if not is_day_of_now(windows) then return cmsgpack.pack(now()) end
  local state = read(name)
  turn(state, windows)
  return cmsgpack.pack(shown(state))
end

-- account, {windows, {requests, tokens} of the day, of the month}: see account.restore; the time, where it is another day.
function operations.restore(name, earlier)
  local windows, day, month = unpack(cmsgpack.unpack(earlier))
  if not is_day_of_now(windows) then return cmsgpack.pack(now()) end
  local state = read(name)
  turn(state, windows)
  for at, use in ipairs({day, month}) do
    local place, mark = at == 1 and DAY or MONTH, at == 1 and RESTORED_DAY or RESTORED_MONTH
    if state[place] == windows[at] and state[mark] ~= windows[at] then
      state[place + 1] = math.min(state[place + 1] + use[1], MOST)
      state[place + 2] = math.min(state[place + 2] + use[2], MOST)
      state[mark] = windows[at]
    end
  end
  write(name, state)
  return 0
end

return operations[ARGV[1]](unpack(ARGV, 2))
