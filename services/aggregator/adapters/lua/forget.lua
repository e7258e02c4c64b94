-- Deletes all that is kept of a window.

for set = 1, 3 do
  redis.call('ZREM', KEYS[set], ARGV[1])
end
return redis.call('UNLINK', unpack(KEYS, 4))
