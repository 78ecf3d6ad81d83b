package token

import (
	"crypto/sha256"
	"sync"
)

const (
	// shards keep requests from waiting for each other.
	shards = 16
	// perShard bounds one half of a shard: all together 2 × 16 × 1,024 tokens.
	perShard = 1024
)

// cache holds the claims of tokens whose signature was valid, by digest. Each
// shard has two halves: when the young one is full it becomes the old one, and
// what is still asked for moves on to the new young one.
type cache struct {
	shards [shards]shard
}

type shard struct {
	mu         sync.RWMutex
	young, old map[[sha256.Size]byte]*claims
}

func newCache() *cache {
	c := &cache{}
	for i := range c.shards {
		c.shards[i].young = map[[sha256.Size]byte]*claims{}
	}
	return c
}

func (c *cache) get(digest [sha256.Size]byte) (*claims, bool) {
	s := &c.shards[digest[0]%shards]
	s.mu.RLock()
	found, ok := s.young[digest]
	if !ok {
		found, ok = s.old[digest]
		s.mu.RUnlock()
		if ok {
			c.put(digest, found)
		}
		return found, ok
	}
	s.mu.RUnlock()
	return found, true
}

func (c *cache) put(digest [sha256.Size]byte, found *claims) {
	s := &c.shards[digest[0]%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.young) >= perShard {
		s.young, s.old = map[[sha256.Size]byte]*claims{}, s.young
	}
	s.young[digest] = found
}
