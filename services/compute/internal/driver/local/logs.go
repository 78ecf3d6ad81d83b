package local

import (
	"context"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fairlead/fairlead/services/compute/internal/driver"
	"github.com/fairlead/fairlead/services/compute/internal/driver/local/logfile"
)

const (
	followPause = 200 * time.Millisecond
	// keptLogs is of how many replicas that have ended the log is kept for a workload.
	keptLogs  = 5
	logBatch  = 500
	tailLimit = 100_000
)

func (d *Driver) logFolder(workloadUID string) string {
	return filepath.Join(d.cfg.DataDir, logsFolder, workloadUID)
}

func (d *Driver) logName(workloadUID, replica string) string {
	return filepath.Join(d.logFolder(workloadUID), replica)
}

// pruneLogs keeps the logs of the replicas that ended last.
func (d *Driver) pruneLogs(workloadUID string) {
	dir := d.logFolder(workloadUID)
	type aged struct {
		name string
		time time.Time
	}
	var over []aged
	for _, name := range logfile.Names(dir) {
		d.mu.Lock()
		live := d.processes[name] != nil
		d.mu.Unlock()
		if info, err := os.Stat(filepath.Join(dir, name+".log")); err == nil && !live {
			over = append(over, aged{name: name, time: info.ModTime()})
		}
	}
	slices.SortFunc(over, func(a, b aged) int { return b.time.Compare(a.time) })
	for _, old := range over[min(keptLogs, len(over)):] {
		logfile.Remove(filepath.Join(dir, old.name))
	}
}

// ReadLogs gives the last lines of a workload's replicas, oldest first, and
// then, when asked, what they write until ctx ends.
func (d *Driver) ReadLogs(ctx context.Context, q driver.LogQuery) iter.Seq2[[]driver.LogLine, error] {
	return func(yield func([]driver.LogLine, error) bool) {
		if q.Tail <= 0 || q.Tail > tailLimit {
			q.Tail = tailLimit
		}
		r := &logReader{
			driver: d, query: q, followers: map[string]*logfile.Follower{},
			part: logfile.Part{Previous: q.Previous, Start: q.Init},
		}
		first := r.more(q.Tail)
		first = first[max(0, len(first)-q.Tail):]
		if !inBatches(first, yield) || !q.Follow || r.part != (logfile.Part{}) {
			return
		}
		tick := time.NewTicker(followPause)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				yield(nil, fmt.Errorf("follow the log: %w", ctx.Err()))
				return
			case <-tick.C:
				if !inBatches(r.more(tailLimit), yield) {
					return
				}
			}
		}
	}
}

func inBatches(lines []driver.LogLine, yield func([]driver.LogLine, error) bool) bool {
	for part := range slices.Chunk(lines, logBatch) {
		if !yield(part, nil) {
			return false
		}
	}
	return true
}

// logReader reads the logs of a workload's replicas, as they come and go.
type logReader struct {
	driver    *Driver
	query     driver.LogQuery
	part      logfile.Part
	followers map[string]*logfile.Follower
}

// more gives what is new: at most so many lines of a replica that is seen for the first time.
func (r *logReader) more(most int) []driver.LogLine {
	now := time.Now()
	dir := r.driver.logFolder(r.query.WorkloadUID)
	var out []driver.LogLine
	for _, name := range logfile.Names(dir) {
		if r.query.Replica != "" && r.query.Replica != name {
			continue
		}
		var lines []logfile.Line
		if f := r.followers[name]; f != nil {
			lines = f.Next(now)
		} else if r.query.Follow && r.part == (logfile.Part{}) {
			lines, r.followers[name] = logfile.Follow(filepath.Join(dir, name), most, now)
		} else {
			lines = logfile.Tail(filepath.Join(dir, name), r.part, most, now)
		}
		for _, l := range lines {
			out = append(out, driver.LogLine{Time: l.Time, Replica: name, Text: l.Text})
		}
	}
	slices.SortStableFunc(out, func(a, b driver.LogLine) int { return a.Time.Compare(b.Time) })
	return out
}
