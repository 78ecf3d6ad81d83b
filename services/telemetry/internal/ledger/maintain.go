package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fairlead/fairlead/services/telemetry/internal/figure"
	"github.com/fairlead/fairlead/services/telemetry/internal/requestlog"
)

// Maintain seals the log when it is time, makes old figures coarser, and removes
// what is too old or too much.
func (l *Ledger) Maintain() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	var problems []error
	if l.now().Sub(l.opened) >= l.cfg.SealAfter {
		problems = append(problems, l.seal())
	}
	all := tiers()
	for i := range all[:len(all)-1] {
		problems = append(problems, l.coarsen(all[i], all[i+1]))
	}
	return errors.Join(append(problems, l.remove())...)
}

// seal makes the log a segment and a file of records, and begins a new log.
func (l *Ledger) seal() error {
	if len(l.head) == 0 {
		return nil
	}
	var records []requestlog.File
	if len(l.requests) > 0 {
		f, err := requestlog.Write(l.cfg.Folder, l.wal.id, l.requests)
		if err != nil {
			return err
		}
		records = append(records, f)
	}
	before := l.wal
	names := []string{walName(before.id)}
	for _, id := range l.older {
		names = append(names, walName(id))
	}
	s, err := writeSegment(l.cfg.Folder, segment{
		id: l.lastID + 1, step: tiers()[0].step, replaces: names, sequences: l.sequences,
	}, l.head)
	if err != nil {
		return fmt.Errorf("write a segment of figures: %w", err)
	}
	// From here on the log counts no more, also after a crash: whoever fails to
	// begin a new one must not add to it.
	l.lastID += 2
	l.files.Lock()
	l.mu.Lock()
	l.segments, l.records = append(l.segments, s), append(l.records, records...)
	l.clearHead()
	l.mu.Unlock()
	l.files.Unlock()
	l.opened, l.older = time.Time{}, nil
	after, err := createWAL(l.cfg.Folder, l.lastID)
	if err != nil {
		// The old log's name is on the segment's list; under a new one it is empty.
		return l.renew(before, err)
	}
	l.wal = after
	problems := []error{before.close()}
	for _, name := range names {
		problems = append(problems, os.Remove(filepath.Join(l.cfg.Folder, name)))
	}
	return errors.Join(problems...)
}

// renew makes the old log an empty new one when no file can be created.
func (l *Ledger) renew(before *wal, cause error) error {
	if err := before.begin(); err != nil {
		return errors.Join(cause, err)
	}
	if err := os.Rename(filepath.Join(l.cfg.Folder, walName(before.id)), filepath.Join(l.cfg.Folder, walName(l.lastID))); err != nil {
		return errors.Join(cause, err)
	}
	before.id = l.lastID
	return syncFolder(l.cfg.Folder)
}

// coarsen puts the segments of a tier into one of the next for each span of time
// that is over and old enough.
func (l *Ledger) coarsen(from, to tier) error {
	due := map[time.Time][]segment{}
	for _, s := range l.segments {
		group := s.last.Truncate(to.span)
		if s.step == from.step && group.Add(to.span).Before(l.now().Add(-from.keep)) {
			due[group] = append(due[group], s)
		}
	}
	for _, group := range due {
		if err := l.replace(group, to.step); err != nil {
			return fmt.Errorf("make figures coarser: %w", err)
		}
	}
	return nil
}

// replace puts segments into one with longer steps.
func (l *Ledger) replace(old []segment, step time.Duration) error {
	set, sequences := figure.Set{}, map[string]int64{}
	everything := figure.Filter{To: time.Unix(1<<40, 0)}
	var names []string
	for _, s := range old {
		names = append(names, s.name)
		if err := s.scan(l.cfg.Folder, everything, func(e figure.Entry) { set.Add(e.Start, step, e.Key, e.Figures) }); err != nil {
			l.log.Error("part of a segment of figures cannot be read and is lost", "name", s.name, "error", err)
		}
		for _, name := range s.replaces {
			// One that could not be removed still counts no more.
			if _, err := os.Lstat(filepath.Join(l.cfg.Folder, name)); err == nil {
				names = append(names, name)
			}
		}
		for router, sequence := range s.sequences {
			sequences[router] = max(sequences[router], sequence)
		}
	}
	l.lastID++
	s, err := writeSegment(l.cfg.Folder, segment{id: l.lastID, step: step, replaces: names, sequences: sequences}, set)
	if err != nil {
		return err
	}
	return l.drop(func(have segment) bool { return slices.Contains(names, have.name) }, s)
}

// drop removes segments, and adds some in the same moment.
func (l *Ledger) drop(which func(segment) bool, add ...segment) error {
	l.files.Lock()
	defer l.files.Unlock()
	var problems []error
	l.segments = slices.DeleteFunc(l.segments, func(s segment) bool {
		if !which(s) {
			return false
		}
		problems = append(problems, os.Remove(filepath.Join(l.cfg.Folder, s.name)))
		return true
	})
	l.segments = append(l.segments, add...)
	// What is removed must not come back when what replaces it is replaced.
	return errors.Join(append(problems, syncFolder(l.cfg.Folder))...)
}

// remove removes what is too old, then the oldest while all takes too much.
func (l *Ledger) remove() error {
	oldFigures, oldRequests := l.now().Add(-l.cfg.KeepFigures), l.now().Add(-l.cfg.KeepRequests)
	total := l.wal.size
	for _, s := range l.segments {
		total += s.size
	}
	for _, f := range l.records {
		total += f.Size
	}
	slices.SortFunc(l.records, func(a, b requestlog.File) int { return cmp.Compare(a.Last, b.Last) })
	problems := []error{l.dropRecords(func(f requestlog.File) bool {
		gone := f.Last < oldRequests.UnixNano() || total > l.cfg.MaxBytes
		if gone {
			total -= f.Size
		}
		return gone
	})}
	oldest := slices.SortedFunc(slices.Values(l.segments), func(a, b segment) int { return a.last.Compare(b.last) })
	gone := map[string]bool{}
	for _, s := range oldest {
		if s.last.Add(s.step).Before(oldFigures) || total > l.cfg.MaxBytes {
			gone[s.name] = true
			total -= s.size
		}
	}
	if len(gone) > 0 {
		problems = append(problems, l.drop(func(s segment) bool { return gone[s.name] }))
	}
	return errors.Join(problems...)
}

func (l *Ledger) dropRecords(which func(requestlog.File) bool) error {
	l.files.Lock()
	defer l.files.Unlock()
	var problems []error
	l.records = slices.DeleteFunc(l.records, func(f requestlog.File) bool {
		if !which(f) {
			return false
		}
		problems = append(problems, f.Remove())
		return true
	})
	return errors.Join(problems...)
}
