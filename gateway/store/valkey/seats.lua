-- One group's seats and the rota of organizations that wait for one: what store/seating.py does in a tree.
-- KEYS: holders (member -> backend), taken and wanted (backend -> number), places (ordered by organization and number),
-- details of places (member -> organization, number, candidates), rota (organization -> position), seats that were given
-- (member -> organization, number, position), and the newest limit with the next number.
local holders, taken, wanted, places, details, rota, given, meta = unpack(KEYS)
local PAGE = 50

local function number_of(key, field) return tonumber(redis.call('HGET', key, field) or '0') end

local function add(key, field, more)
  if redis.call('HINCRBY', key, field, more) <= 0 then redis.call('HDEL', key, field) end
end

local function next_number() return redis.call('HINCRBY', meta, 'next', 1) end

-- The best free seat among the candidates, the first among equals; a newcomer leaves those that somebody waits for.
local function choose(candidates, for_who_waits)
  local limit, best, fewest = number_of(meta, 'limit'), nil, nil
  for _, backend in ipairs(candidates) do
    local there = number_of(taken, backend)
    if there < limit and (for_who_waits or number_of(wanted, backend) == 0) and (not best or there < fewest) then
      best, fewest = backend, there
    end
  end
  return best
end

local function sit(member, backend)
  redis.call('HSET', holders, member, backend)
  add(taken, backend, 1)
end

local function prefix(organization) return string.format('%02x', #organization) .. organization end

local function place_of(organization, number, member)
  return prefix(organization) .. string.format('%016x', number) .. member
end

local function places_from(organization, first)
  return redis.call('ZRANGEBYLEX', places, '[' .. prefix(organization), '[' .. prefix(organization) .. '\255', 'LIMIT',
    first, PAGE)
end

local function put_place(member, organization, number, candidates)
  redis.call('ZADD', places, 0, place_of(organization, number, member))
  redis.call('HSET', details, member, cmsgpack.pack({organization, number, candidates}))
  for _, backend in ipairs(candidates) do add(wanted, backend, 1) end
end

local function details_of(member)
  local packed = redis.call('HGET', details, member)
  if packed then return unpack(cmsgpack.unpack(packed)) end
end

local function remove_place(member, organization, number, candidates)
  redis.call('ZREM', places, place_of(organization, number, member))
  redis.call('HDEL', details, member)
  for _, backend in ipairs(candidates) do add(wanted, backend, -1) end
end

local function give_up(member)
  local organization, number, candidates = details_of(member)
  if not organization then return end
  remove_place(member, organization, number, candidates)
  if #places_from(organization, 0) == 0 then redis.call('ZREM', rota, organization) end
end

local function stand_up(member)
  local backend = redis.call('HGET', holders, member)
  if not backend then return false end
  redis.call('HDEL', holders, member)
  redis.call('HDEL', given, member)
  add(taken, backend, -1)
  return true
end

local function is_due()
  local limit, pairs_of = number_of(meta, 'limit'), redis.call('HGETALL', wanted)
  for at = 1, #pairs_of, 2 do
    if number_of(taken, pairs_of[at]) < limit then return true end
  end
  return false
end

-- The first place, in the order of the rota, that can become a seat: its member and the backend.
local function find()
  local useless = {}
  for _, organization in ipairs(redis.call('ZRANGE', rota, 0, -1)) do
    local first, page = 0, places_from(organization, 0)
    while #page > 0 do
      for _, place in ipairs(page) do
        local member = place:sub(#prefix(organization) + 17)
        local _, _, candidates = details_of(member)
        local kind = cmsgpack.pack(candidates)
        if not useless[kind] then
          local backend = choose(candidates, true)
          if backend then return member, backend end
          useless[kind] = true
        end
      end
      if #page < PAGE then break end
      first = first + PAGE
      page = places_from(organization, first)
    end
  end
end

-- Gives the free seats to those who wait and can use them, and tells their workers.
local function call()
  while is_due() do
    local member, backend = find()
    if not member then return end
    local organization, number, candidates = details_of(member)
    local position = tonumber(redis.call('ZSCORE', rota, organization))
    give_up(member)
    redis.call('HSET', given, member, cmsgpack.pack({organization, number, position}))
    sit(member, backend)
    if redis.call('ZSCORE', rota, organization) then redis.call('ZADD', rota, next_number(), organization) end
    local worker, token = member:match('^(%x+):(%d+)$')
    redis.call('PUBLISH', 'gw:' .. worker, token .. ' ' .. backend)
  end
end

local function includes(candidates, backend)
  for _, candidate in ipairs(candidates) do
    if candidate == backend then return true end
  end
  return false
end

local function wait(member, organization, candidates)
  if not redis.call('ZSCORE', rota, organization) then redis.call('ZADD', rota, next_number(), organization) end
  put_place(member, organization, next_number(), candidates)
end

local operations = {}

-- member, organization, limit, most who wait, candidates: the backend, '' it waits, false it is refused.
function operations.enter(member, organization, limit, most, ...)
  local candidates = {...}
  if number_of(meta, 'limit') ~= tonumber(limit) then
    redis.call('HSET', meta, 'limit', limit)
    call()
  end
  local backend = choose(candidates, false)
  if backend then
    sit(member, backend)
    return backend
  end
  if redis.call('ZCARD', places) >= tonumber(most) then return false end
  wait(member, organization, candidates)
  return ''
end

-- member, candidates of now: the backend, or '' while it waits for those; who looks stands where it stood.
function operations.look(member, ...)
  local candidates, backend = {...}, redis.call('HGET', holders, member)
  if backend and includes(candidates, backend) then return backend end
  local organization, number, before = details_of(member)
  if backend then
    local position
    organization, number, position = unpack(cmsgpack.unpack(redis.call('HGET', given, member)))
    stand_up(member)
    local stood = tonumber(redis.call('ZSCORE', rota, organization) or position)
    redis.call('ZADD', rota, math.min(position, stood), organization)
  elseif organization then
    remove_place(member, organization, number, before)
  else
    return ''
  end
  put_place(member, organization, number, candidates)
  call()
  return redis.call('HGET', holders, member) or ''
end

-- member: gives up whatever it has.
function operations.leave(member)
  if stand_up(member) then call() else give_up(member) end
  return ''
end

-- member, whose time is over: the backend if it has a seat after all; otherwise it has given up its place.
function operations.settle(member)
  local backend = redis.call('HGET', holders, member)
  if not backend then give_up(member) end
  return backend or ''
end

local function members_of(worker, key)
  local mine = {}
  for _, member in ipairs(redis.call('HKEYS', key)) do
    if member:sub(1, #worker + 1) == worker .. ':' then mine[#mine + 1] = member end
  end
  return mine
end

-- worker: a dead one's places go first, because one that is called becomes a seat; then its seats, backend by backend.
function operations.strike(worker)
  for _, member in ipairs(members_of(worker, details)) do give_up(member) end
  local at, backends = {}, {}
  for _, member in ipairs(members_of(worker, holders)) do
    local backend = redis.call('HGET', holders, member)
    if not at[backend] then
      at[backend] = {}
      backends[#backends + 1] = backend
    end
    table.insert(at[backend], member)
  end
  table.sort(backends)
  for _, backend in ipairs(backends) do
    for _, member in ipairs(at[backend]) do stand_up(member) end
    call()
  end
  return ''
end

-- worker, limit, count of held, those (member, backend), count of pending, those (member), and those that wait (member,
-- organization, count of candidates, those) in their order: makes the record what the worker says; of pending ones it
-- cannot know. Returns members and backends of those that wait no longer, because they have a seat, and the members that
-- were missing: then others may be, too, and nobody is given a seat for it.
function operations.sync(worker, limit, ...)
  local words, at, known, held, waiting, have, missing = {...}, 0, {}, {}, {}, {}, {}
  local function word()
    at = at + 1
    return words[at]
  end
  for _ = 1, tonumber(word()) do
    local member = word()
    known[member] = true
    held[#held + 1] = {member, word()}
  end
  for _ = 1, tonumber(word()) do known[word()] = true end
  while at < #words do
    local one = {word(), word(), {}}
    for _ = 1, tonumber(word()) do table.insert(one[3], word()) end
    known[one[1]] = true
    waiting[#waiting + 1] = one
  end
  redis.call('HSETNX', meta, 'limit', limit)
  for _, member in ipairs(members_of(worker, details)) do
    if not known[member] then give_up(member) end
  end
  for _, member in ipairs(members_of(worker, holders)) do
    if not known[member] then stand_up(member) end
  end
  for _, one in ipairs(held) do
    if redis.call('HEXISTS', holders, one[1]) == 0 then
      give_up(one[1])
      sit(one[1], one[2])
      missing[#missing + 1] = one[1]
    end
  end
  for _, one in ipairs(waiting) do
    local member, organization, candidates = unpack(one)
    local backend = redis.call('HGET', holders, member)
    if backend then
      have[#have + 1] = member
      have[#have + 1] = backend
    elseif redis.call('HEXISTS', details, member) == 0 then
      wait(member, organization, candidates)
      missing[#missing + 1] = member
    end
  end
  if #missing == 0 then call() end
  return {have, missing}
end

function operations.count()
  return {redis.call('ZCARD', places), redis.call('HGETALL', taken)}
end

local result = operations[ARGV[1]](unpack(ARGV, 2))
if redis.call('EXISTS', holders, places) == 0 then redis.call('DEL', meta) end
return result
