package ledger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	telemetryv1 "github.com/fairlead/fairlead/proto/gen/fairlead/telemetry/v1"
	"github.com/fairlead/fairlead/services/telemetry/internal/requestlog"
)

// found is what a folder holds.
type found struct {
	logs     []uint64
	segments []segment
}

// load reads the folder: segments, then the log that goes on.
func (l *Ledger) load() error {
	all, err := l.list()
	if err != nil {
		return err
	}
	if l.records, err = requestlog.List(l.cfg.Folder); err != nil {
		return err
	}
	for _, s := range all.segments {
		for router, sequence := range s.sequences {
			l.known[router] = max(l.known[router], sequence)
		}
	}
	l.segments = all.segments
	slices.Sort(all.logs)
	for _, id := range all.logs {
		if err := l.replay(id); err != nil {
			return err
		}
	}
	if l.wal == nil {
		l.lastID++
		l.wal, err = createWAL(l.cfg.Folder, l.lastID)
	}
	return err
}

// list finds logs and segments, and removes what a crash has left: temporary
// files, and what a segment says that it replaces.
func (l *Ledger) list() (found, error) {
	entries, err := os.ReadDir(l.cfg.Folder)
	if err != nil {
		return found{}, err
	}
	var all found
	replaced := map[string]bool{}
	for _, e := range entries {
		name := e.Name()
		var id uint64
		switch {
		case strings.HasSuffix(name, ".tmp"):
			if err := os.Remove(filepath.Join(l.cfg.Folder, name)); err != nil {
				return all, err
			}
			continue
		case scan(name, "log-%d", &id):
			all.logs = append(all.logs, id)
		case scan(name, "figures-%d", &id):
			s, err := openSegment(l.cfg.Folder, name, id)
			if err != nil {
				l.log.Error("a segment of figures cannot be read and is left out", "name", name, "error", err)
				break
			}
			all.segments = append(all.segments, s)
			for _, r := range s.replaces {
				replaced[r] = true
			}
		default:
			continue
		}
		l.lastID = max(l.lastID, id)
	}
	all.segments = slices.DeleteFunc(all.segments, func(s segment) bool { return replaced[s.name] })
	all.logs = slices.DeleteFunc(all.logs, func(id uint64) bool { return replaced[walName(id)] })
	for name := range replaced {
		if err := os.Remove(filepath.Join(l.cfg.Folder, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return all, err
		}
	}
	return all, syncFolder(l.cfg.Folder)
}

func scan(name, pattern string, id *uint64) bool {
	n, err := fmt.Sscanf(name, pattern, id)
	return n == 1 && err == nil
}

// replay reads a log, which goes on. Of several, which a failure while sealing
// may have left, the last one goes on.
func (l *Ledger) replay(id uint64) error {
	// Its requests are read from the log: a file of them may have been written,
	// but the log was not replaced.
	l.records = slices.DeleteFunc(l.records, func(f requestlog.File) bool {
		if f.Number != id {
			return false
		}
		if err := f.Remove(); err != nil {
			l.log.Error("a file of requests cannot be removed", "error", err)
		}
		return true
	})
	w, damaged, err := openWAL(l.cfg.Folder, id, func(report *telemetryv1.RecordRequest) {
		if report.GetSequence() > l.known[report.GetRouter()] {
			l.apply(report)
		}
	})
	if err != nil {
		return err
	}
	if damaged > 0 {
		l.log.Warn("the end of the log of telemetry was not whole; routers send it again", "name", walName(id), "bytes", damaged)
	}
	if l.wal != nil {
		l.older = append(l.older, l.wal.id)
		if err := l.wal.close(); err != nil {
			return err
		}
	}
	l.wal = w
	if !w.empty() {
		l.opened = l.now()
	}
	return nil
}
