// Package ledger keeps what routers report, on disk.
//
// A report is on disk when Append returns, as one record of the log; the log
// says by itself which reports it holds, so that one that comes again is not
// counted again, whatever was killed when. Every few minutes the log becomes a
// segment of figures and a file of single records; segments become coarser with
// age (seconds, 10 s, a minute, an hour) and go when they are too old or take too
// much room. Segments never change: one that replaces others names them, so that
// a crash between writing it and removing them counts nothing twice.
//
// Append, queries and Maintain may be called by many goroutines.
package ledger

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	telemetryv1 "github.com/fairlead/fairlead/proto/gen/fairlead/telemetry/v1"
	"github.com/fairlead/fairlead/services/telemetry/internal/figure"
	"github.com/fairlead/fairlead/services/telemetry/internal/requestlog"
)

// Config bounds what is kept.
type Config struct {
	Folder string
	// KeepFigures and KeepRequests are for how long.
	KeepFigures, KeepRequests time.Duration
	// MaxBytes is how much all files together may take. The oldest records of
	// requests go first, then the oldest figures.
	MaxBytes int64
	// SealAfter and SealBytes say when the log becomes a segment.
	SealAfter time.Duration
	SealBytes int64
}

// tier is how fine figures are up to an age.
type tier struct {
	step time.Duration
	// keep is the age at which they become coarser.
	keep time.Duration
	// span of time is in one segment, about.
	span time.Duration
}

// tiers from fine to coarse; the last is kept until figures go.
func tiers() []tier {
	return []tier{
		{step: time.Second, keep: 15 * time.Minute},
		{step: 10 * time.Second, keep: 6 * time.Hour, span: time.Hour},
		{step: time.Minute, keep: 3 * 24 * time.Hour, span: 24 * time.Hour},
		{step: time.Hour, span: 7 * 24 * time.Hour},
	}
}

// Ledger is the store.
type Ledger struct {
	cfg Config
	log *slog.Logger
	now func() time.Time

	// writing is held by who writes files.
	writing sync.Mutex
	wal     *wal
	older   []uint64 // logs before it whose reports are in memory, too
	lastID  uint64
	opened  time.Time // when the log got its first report

	// files is held for reading by who reads segments and files of records, and
	// for writing when they change.
	files    sync.RWMutex
	segments []segment
	records  []requestlog.File

	// mu guards what is in the log, in memory.
	mu        sync.RWMutex
	head      figure.Set
	requests  []requestlog.Request
	sequences map[string]int64 // of the reports in the log
	known     map[string]int64 // of all reports
}

// Open reads what there is and repairs what a crash has left.
func Open(cfg Config, log *slog.Logger, now func() time.Time) (*Ledger, error) {
	if err := os.MkdirAll(cfg.Folder, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of telemetry: %w", err)
	}
	l := &Ledger{cfg: cfg, log: log, now: now, known: map[string]int64{}}
	l.clearHead()
	if err := l.load(); err != nil {
		return nil, fmt.Errorf("open the folder of telemetry %s: %w", cfg.Folder, err)
	}
	return l, nil
}

func (l *Ledger) clearHead() {
	l.head, l.requests, l.sequences = figure.Set{}, nil, map[string]int64{}
}

// Close ends writing.
func (l *Ledger) Close() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	return l.wal.close()
}

// Append puts a report on disk. It gives the records of requests that are new;
// none when the report was there before.
func (l *Ledger) Append(report *telemetryv1.RecordRequest) ([]requestlog.Request, error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	if report.GetSequence() <= l.known[report.GetRouter()] {
		return nil, nil
	}
	if err := l.wal.append(report); err != nil {
		return nil, fmt.Errorf("write the log of telemetry: %w", err)
	}
	if l.opened.IsZero() {
		l.opened = l.now()
	}
	requests := l.apply(report)
	if l.wal.size >= l.cfg.SealBytes {
		if err := l.seal(); err != nil { // the report is on disk; it is tried again
			l.log.Error("the log of telemetry did not become a segment", "error", err)
		}
	}
	return requests, nil
}

// apply makes a report of the log visible.
func (l *Ledger) apply(report *telemetryv1.RecordRequest) []requestlog.Request {
	figures, requests, wrong := read(report)
	if wrong != nil {
		l.log.Error("part of a router's report makes no sense and is left out", "router", report.GetRouter(), "sequence", report.GetSequence(), "error", wrong)
	}
	start := report.GetStartTime().AsTime()
	if now := l.now(); start.After(now) {
		start = now // the router's clock is ahead
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range figures {
		l.head.Add(start, tiers()[0].step, f.key, f.figures)
	}
	l.requests = append(l.requests, requests...)
	l.sequences[report.GetRouter()] = report.GetSequence()
	l.known[report.GetRouter()] = report.GetSequence()
	return requests
}

// Scan shows every entry that the filter wants, in no order. It must not be kept.
func (l *Ledger) Scan(filter figure.Filter, see func(figure.Entry)) error {
	l.files.RLock()
	defer l.files.RUnlock()
	l.scanHead(filter, see)
	var problems []error
	for _, s := range l.segments {
		if s.last.Add(s.step).Before(filter.From) || !s.first.Before(filter.To) {
			continue
		}
		if err := s.scan(l.cfg.Folder, filter, see); err != nil {
			problems = append(problems, fmt.Errorf("read %s: %w", s.name, err))
		}
	}
	return errors.Join(problems...)
}

func (l *Ledger) scanHead(filter figure.Filter, see func(figure.Entry)) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	step := tiers()[0].step
	for start, of := range l.head {
		for key, f := range of {
			if filter.Wants(start, step, key) {
				see(figure.Entry{Start: start, Step: step, Key: key, Figures: f})
			}
		}
	}
}

// Requests gives the newest records that the filter wants, newest first.
func (l *Ledger) Requests(filter requestlog.Filter) []requestlog.Request {
	l.files.RLock()
	defer l.files.RUnlock()
	l.mu.RLock()
	atHand := l.requests[:len(l.requests):len(l.requests)] // what is added later is not looked at
	l.mu.RUnlock()
	return requestlog.Find(filter, atHand, l.records, func(path string, err error) {
		l.log.Error("a file of requests cannot be read and is left out", "path", path, "error", err)
	})
}
