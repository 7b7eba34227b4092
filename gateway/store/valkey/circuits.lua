-- What do hosts tell one another of backends? KEYS: one hash. In it: `epoch` and `version`, which together are the stamp;
-- `c` and a backend's URL -> {version, due, pause, why, owner, until when the trial is the owner's}, `due` 0 where closed
-- (and then since when in place of that last one); `d`, a host and a URL -> {until, reason}.
-- ARGV: operation, host, and what it needs, packed. Times are seconds of the server.
local key = KEYS[1]
local KEPT_SECS, CLOSED_KEPT_SECS = 86400, 600
local VERSION, DUE, PAUSE, WHY, OWNER, ENDS = 1, 2, 3, 4, 5, 6
local host, time = ARGV[2], now()

local function read(backend)
  local packed = redis.call('HGET', key, 'c' .. backend)
  return packed and cmsgpack.unpack(packed)
end

local function write(backend, record) redis.call('HSET', key, 'c' .. backend, cmsgpack.pack(record)) end

local function stamp()
  local epoch, version = unpack(redis.call('HMGET', key, 'epoch', 'version'))
  return epoch and epoch .. ':' .. version or ''
end

-- The number of one more change, under which hosts learn of it. It begins with the time, so that no number from before
-- everything was lost comes again.
local function changed()
  if redis.call('HSETNX', key, 'epoch', host .. string.format('%.6f', time)) == 1 then
    redis.call('HSET', key, 'version', string.format('%.0f', time * 1000))
  end
  local version = redis.call('HINCRBY', key, 'version', 1)
  redis.call('EXPIRE', key, KEPT_SECS)
  return version
end

-- Everything in force, and the rest taken out.
local function all()
  local circuits, doubts, fields = {}, {}, redis.call('HGETALL', key)
  for at = 1, #fields, 2 do
    local field, kind = fields[at], fields[at]:sub(1, 1)
    if kind == 'c' then
      local record = cmsgpack.unpack(fields[at + 1])
      if record[DUE] == 0 and record[ENDS] + CLOSED_KEPT_SECS < time then
        redis.call('HDEL', key, field)
      else
        circuits[#circuits + 1] = {field:sub(2),
          {record[VERSION], record[DUE] ~= 0, record[DUE] - time, record[PAUSE], record[WHY]}}
      end
    elseif kind == 'd' then
      local ends, reason = unpack(cmsgpack.unpack(fields[at + 1]))
      local whose, backend = field:match('^d(%S+) (.*)$')
      if ends < time then
        redis.call('HDEL', key, field)
      elseif whose ~= host then
        doubts[#doubts + 1] = {backend, reason, ends - time}
      end
    end
  end
  return {circuits, doubts}
end

local operations = {}

function operations.look(known)
  local stands = stamp()
  if stands == known then return false end
  return cmsgpack.pack({stands, unpack(all())})
end

-- Who opens one that is open has made its trial; a backend that says that it drains is left for longer, never for less.
function operations.opened(backend, seconds, pause, why, trial)
  local record, due = read(backend), time + seconds
  if record and record[DUE] ~= 0 and not (trial and record[OWNER] == host) and
    not (why == 'draining' and due > record[DUE]) then return 0 end
  local version = changed()
  write(backend, {version, due, pause, why, '', 0})
  return version
end

function operations.closed(backend, version)
  local record = read(backend)
  if not record or record[DUE] == 0 then return 0 end
  if record[OWNER] ~= host and (record[ENDS] > time or record[VERSION] ~= version) then return 0 end
  version = changed()
  write(backend, {version, 0, 0, '', '', time})
  return version
end

function operations.claim(backend, seconds)
  local record = read(backend)
  if not record or record[DUE] == 0 then return 0 end
  if record[OWNER] ~= host and record[ENDS] > time then return 0 end
  record[OWNER], record[ENDS] = host, time + seconds
  write(backend, record)
  return 1
end

function operations.give_back(backend)
  local record = read(backend)
  if not record or record[DUE] == 0 or record[OWNER] ~= host then return 0 end
  record[OWNER], record[ENDS] = '', 0
  write(backend, record)
  return 1
end

function operations.doubt(backend, reason, seconds)
  local field = 'd' .. host .. ' ' .. backend
  if seconds > 0 then
    redis.call('HSET', key, field, cmsgpack.pack({time + seconds, reason}))
  elseif redis.call('HDEL', key, field) == 0 then
    return 0
  end
  return changed()
end

return operations[ARGV[1]](unpack(cmsgpack.unpack(ARGV[3])))
