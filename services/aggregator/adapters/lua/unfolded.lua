-- Returns ids of the window's blocks that were not folded, what the others were folded into, how
-- many those are, and whether the window is closed: all at one moment.

local window, blocks, folded, folds = unpack(KEYS)

return {
  redis.call('SDIFF', blocks, folded),
  redis.call('LRANGE', folds, 0, -1),
  redis.call('SCARD', folded),
  redis.call('HEXISTS', window, 'closed'),
}
