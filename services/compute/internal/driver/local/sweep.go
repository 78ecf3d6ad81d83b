package local

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/services/compute/internal/driver"
)

// workloadFile names the workload of a folder of logs.
const workloadFile = "workload"

// Sweep begins to remove, beside everything else, the logs of workloads that are
// gone, when they are old or many, and of the cached files those that were not
// used for longest, when they are too large together.
func (d *Driver) Sweep(keep driver.Keep) {
	if !d.sweeping.CompareAndSwap(false, true) {
		return
	}
	d.mu.Lock()
	running := d.running
	if running != nil {
		d.own(func() {
			defer d.sweeping.Store(false)
			d.sweepLogs(keep.Workloads, time.Now())
			d.sweepCache(keep.Files, time.Now())
		})
	}
	d.mu.Unlock()
	if running == nil {
		d.sweeping.Store(false)
	}
}

func (d *Driver) sweepCache(keep map[string]bool, now time.Time) {
	keep = withLaunched(keep, d.Processes())
	if swept := d.cache.Sweep(d.cfg.CacheBytes, keep, now); swept.Removed+swept.Unfinished > 0 {
		d.log.Info("files that were not used for long are removed from the cache",
			"removed", swept.Removed, "bytes", swept.RemovedBytes, "left", swept.Files-swept.Removed, "unfinished", swept.Unfinished)
	}
}

// withLaunched adds the files of what runs.
func withLaunched(keep map[string]bool, processes []driver.Process) map[string]bool {
	all := map[string]bool{}
	for digest := range keep {
		all[digest] = true
	}
	for _, p := range processes {
		for _, digest := range p.Spec.Digests() {
			all[digest] = true
		}
	}
	return all
}

// sweepLogs removes folders of logs whose workload is gone: those that nothing
// was written to for the time that logs are kept, then the oldest of the rest
// until they are small enough together.
func (d *Driver) sweepLogs(known map[string]bool, now time.Time) {
	type folder struct {
		path  string
		bytes int64
		last  time.Time
	}
	var gone []folder
	var total int64
	entries, err := os.ReadDir(filepath.Join(d.cfg.DataDir, logsFolder))
	if err != nil {
		d.log.Warn("the folder of logs cannot be read", "error", err)
		return
	}
	for _, e := range entries {
		if known[e.Name()] || d.writes(e.Name()) {
			continue
		}
		f := folder{path: d.logFolder(e.Name())}
		f.bytes, f.last = measureFolder(f.path)
		gone = append(gone, f)
		total += f.bytes
	}
	slices.SortFunc(gone, func(a, b folder) int { return a.last.Compare(b.last) })
	for _, f := range gone {
		if now.Sub(f.last) < d.cfg.KeepLogs && total <= d.cfg.GoneLogBytes {
			break
		}
		if err := os.RemoveAll(f.path); err != nil {
			d.log.Warn("logs of a workload that is gone cannot be removed", "folder", f.path, "error", err)
			continue
		}
		total -= f.bytes
	}
}

// writes says whether a replica of the workload is there.
func (d *Driver) writes(workloadUID string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.processes {
		if p.launch.WorkloadUID == workloadUID {
			return true
		}
	}
	return false
}

// measureFolder gives the size of a folder's files, and when the last of them changed.
func measureFolder(dir string) (bytes int64, last time.Time) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil //nolint:nilerr // what is gone meanwhile has no size
		}
		if info, err := e.Info(); err == nil {
			bytes += info.Size()
			if info.ModTime().After(last) {
				last = info.ModTime()
			}
		}
		return nil
	})
	return bytes, last
}

// nameLogs writes beside the logs of a workload whose they are.
func (d *Driver) nameLogs(workloadUID, name string) error {
	file := filepath.Join(d.logFolder(workloadUID), workloadFile)
	if known, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(known)) == name {
		return nil
	}
	return writeWhole(file, []byte(name+"\n"))
}

// GoneWorkload gives the uid of the last workload of this name that has logs.
func (d *Driver) GoneWorkload(name string) (uid string) {
	entries, err := os.ReadDir(filepath.Join(d.cfg.DataDir, logsFolder))
	if err != nil {
		return ""
	}
	for _, e := range entries { // uids grow with time, so the last is the newest
		if text, err := os.ReadFile(filepath.Join(d.logFolder(e.Name()), workloadFile)); err == nil && strings.TrimSpace(string(text)) == name {
			uid = e.Name()
		}
	}
	return uid
}
