-- Deletes all that is kept of a window, but for the panes that the latest window holds.

for set = 1, 3 do
  redis.call('ZREM', KEYS[set], ARGV[1])
end
let_panes_go(ARGV[1], unpack(KEYS, 4, 7))
return redis.call('UNLINK', unpack(KEYS, 7))
