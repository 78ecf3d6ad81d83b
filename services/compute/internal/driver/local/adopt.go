package local

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/fairlead/fairlead/services/compute/internal/driver"
	"github.com/fairlead/fairlead/services/compute/internal/driver/local/proc"
)

const (
	tokenVariable = "FAIRLEAD_REPLICA"
	recordFile    = "record.json"
)

// record explains a process. It is written before the process is started.
type record struct {
	Token  string        `json:"token"`
	Launch driver.Launch `json:"launch"`
}

// token gives a new one: the data folder's identity and something that nobody can guess.
func (d *Driver) token() string { return d.identity + "." + rand.Text() }

func (p *process) writeRecord() error {
	p.recording.Lock()
	defer p.recording.Unlock()
	data, err := json.Marshal(record{Token: p.token, Launch: p.adjusted()})
	if err != nil {
		return fmt.Errorf("write the record of a replica: %w", err)
	}
	if err := writeWhole(filepath.Join(p.dir, recordFile), data); err != nil {
		return fmt.Errorf("write the record of a replica: %w", err)
	}
	return nil
}

// adopt takes over the processes that have a record and live, and ends all
// others that carry a token of this data folder.
func (d *Driver) adopt(ctx context.Context) {
	leaders, tokens := d.carriers()
	runs := filepath.Join(d.cfg.DataDir, runsFolder)
	entries, err := os.ReadDir(runs)
	if err != nil {
		d.log.Error("the folder of replicas cannot be read", "error", err)
	}
	kept := map[string]bool{}
	for _, e := range entries {
		dir := filepath.Join(runs, e.Name())
		rec, err := readRecord(dir)
		pid, alive := leaders[rec.Token]
		if err != nil || !alive || rec.Launch.Replica != e.Name() {
			d.drop(dir, err)
			continue
		}
		kept[rec.Token] = true
		d.log.Info("replica taken over", "workload", rec.Launch.Workload, "replica", rec.Launch.Replica, "pid", pid)
		d.resume(ctx, rec, pid)
	}
	for pid, token := range tokens {
		if !kept[token] {
			d.log.Warn("leftover process ended", "pid", pid)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	proc.Kill(func(p proc.Info) bool {
		token := proc.Variable(p.PID, tokenVariable)
		return strings.HasPrefix(token, d.identity+".") && !kept[token]
	})
	d.limiter.RemoveEmpty(groupPrefix + d.identity + "-")
}

// carriers gives the processes with a token of this data folder, and which of
// them lead a session.
func (d *Driver) carriers() (leaders map[string]int, tokens map[int]string) {
	leaders, tokens = map[string]int{}, map[int]string{}
	for _, p := range proc.List() {
		token := proc.Variable(p.PID, tokenVariable)
		if p.Zombie || p.PID == os.Getpid() || !strings.HasPrefix(token, d.identity+".") {
			continue
		}
		tokens[p.PID] = token
		if p.PID == p.Session {
			leaders[token] = p.PID
		}
	}
	return leaders, tokens
}

func readRecord(dir string) (record, error) {
	data, err := os.ReadFile(filepath.Join(dir, recordFile))
	if err != nil {
		return record{}, fmt.Errorf("read the record of a replica: %w", err)
	}
	var rec record
	if err := json.Unmarshal(data, &rec); err != nil {
		return record{}, fmt.Errorf("read the record in %s: %w", dir, err)
	}
	return rec, nil
}

func (d *Driver) drop(dir string, cause error) {
	if cause != nil && !errors.Is(cause, fs.ErrNotExist) {
		d.log.Warn("a replica's record is of no use", "error", cause)
	}
	if err := os.RemoveAll(dir); err != nil {
		d.log.Warn("a replica's folder cannot be removed", "folder", dir, "error", err)
	}
}

func (d *Driver) resume(ctx context.Context, rec record, pid int) {
	p := d.newProcess(rec.Launch, rec.Token)
	p.runsAs(pid)
	d.mu.Lock()
	d.processes[rec.Launch.Replica] = p
	d.mu.Unlock()
	d.own(func() { p.resume(ctx) })
}
