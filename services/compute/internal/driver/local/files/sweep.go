package files

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// sparedFor is how long a file that was just used stays in any case: it may be
// on its way into a replica's folder.
const sparedFor = 10 * time.Minute

// Swept is what a sweep has found and done.
type Swept struct {
	Files, Removed      int
	Bytes, RemovedBytes int64
	Unfinished          int // left by a fetch that was cut off
}

// Sweep removes the files that were not used for longest until the cache has at
// most so many bytes. Those whose digest is in keep stay, however many they are.
func (c *Cache) Sweep(most int64, keep map[string]bool, now time.Time) Swept {
	type cached struct {
		path, digest string
		size         int64
		used         time.Time
	}
	var all []cached
	var swept Swept
	for _, path := range c.list() {
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		old := now.Sub(info.ModTime()) > sparedFor
		name := filepath.Base(path)
		if strings.HasPrefix(name, fetchPrefix) {
			if old && os.Remove(path) == nil {
				swept.Unfinished++
			}
			continue
		}
		swept.Files++
		swept.Bytes += info.Size()
		if old && !keep[name] {
			all = append(all, cached{path: path, digest: name, size: info.Size(), used: info.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b cached) int {
		return cmp.Or(a.used.Compare(b.used), strings.Compare(a.digest, b.digest))
	})
	for _, f := range all {
		if swept.Bytes-swept.RemovedBytes <= most {
			break
		}
		if c.remove(f.path, f.digest, f.used) {
			swept.Removed++
			swept.RemovedBytes += f.size
		}
	}
	return swept
}

// list gives everything that is cached or was being fetched.
func (c *Cache) list() []string {
	var out []string
	folders, _ := os.ReadDir(c.dir) // what cannot be read is not there to sweep
	for _, folder := range folders {
		entries, _ := os.ReadDir(filepath.Join(c.dir, folder.Name()))
		for _, e := range entries {
			out = append(out, filepath.Join(c.dir, folder.Name(), e.Name()))
		}
	}
	return out
}

// remove deletes a file unless it was used meanwhile.
func (c *Cache) remove(path, digest string, used time.Time) bool {
	lock := c.lock(digest)
	lock.Lock()
	defer lock.Unlock()
	info, err := os.Stat(path)
	if err != nil || info.ModTime().After(used) || os.Remove(path) != nil {
		return false
	}
	c.mu.Lock()
	delete(c.verified, digest)
	c.mu.Unlock()
	return true
}
