// Package local is the driver for this machine: each replica is a scorer
// process in a session of its own.
//
// A replica has a folder with its files, its record and its address. The record
// is written before the process is started and holds a token that the process
// and all that it starts carry in their environment. So at every moment each
// process is either explained by a record or, by its token, known to be a
// leftover, which the next start ends. Records of processes that live are taken
// over (adopted) by the next start.
//
// While it runs, the driver holds an exclusive lock on a file in its data
// folder. Scorers end themselves when nobody holds it for the orphan grace: at
// once with grace zero, which is how the all-in-one process leaves nothing
// behind; with a longer grace they outlive a restart of the driver.
//
// A Driver is safe for concurrent use.
package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairlead/fairlead/services/compute/internal/driver"
	"github.com/fairlead/fairlead/services/compute/internal/driver/local/accelerator"
	"github.com/fairlead/fairlead/services/compute/internal/driver/local/cgroup"
	"github.com/fairlead/fairlead/services/compute/internal/driver/local/files"
	"github.com/fairlead/fairlead/services/compute/internal/driver/local/interpreter"
	"github.com/fairlead/fairlead/services/compute/internal/placement"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

// Config is what a user decides about this machine.
type Config struct {
	// DataDir holds run folders, logs and the file cache.
	DataDir string
	// ScorerCommand starts a scorer when flags are added.
	ScorerCommand []string
	// Python is the interpreter, or several with colons between them to choose
	// from; empty means those found.
	Python string
	// OrphanGrace is how long replicas go on without this process.
	OrphanGrace time.Duration
	// CacheBytes is how large the cache of files may grow; what live workloads use
	// stays in any case.
	CacheBytes int64
	// KeepLogs is how long the logs of workloads that are gone are kept, and
	// GoneLogBytes how many there may be of them.
	KeepLogs     time.Duration
	GoneLogBytes int64
}

// NewDefaultConfig gives what is used where a user says nothing.
func NewDefaultConfig() Config {
	return Config{CacheBytes: 20 << 30, KeepLogs: 24 * time.Hour, GoneLogBytes: 256 << 20}
}

// Deps is what code hands over.
type Deps struct {
	Logger    *slog.Logger
	Artefacts files.Source
}

const (
	lockFile     = "supervisor.lock"
	identityFile = "identity"
	runsFolder   = "replicas"
	logsFolder   = "logs"
	cacheFolder  = "cache/sha256"
	// environmentsFolder has virtual environments for what scripts ask, by digest.
	environmentsFolder = "environments"
	lockPause          = 50 * time.Millisecond
	groupPrefix        = "fairlead-"
)

// Driver runs replicas on this machine.
type Driver struct {
	cfg      Config
	log      *slog.Logger
	cache    *files.Cache
	identity string
	limiter  *cgroup.Limiter
	devices  []placement.Device
	pythons  *interpreter.Finder

	changes chan struct{}
	ready   chan struct{}
	owned   sync.WaitGroup // a process's goroutines

	sweeping atomic.Bool

	mu        sync.Mutex
	processes map[string]*process
	running   context.Context // the life of Run, which owns all processes
}

var _ driver.Driver = (*Driver)(nil)

// New prepares a driver; it makes the data folder and reads or makes its identity.
func New(cfg Config, deps Deps) (*Driver, error) {
	dir, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("find the data folder: %w", err)
	}
	cfg.DataDir = dir
	for _, sub := range []string{runsFolder, logsFolder, cacheFolder} {
		// Models, logs and collected data are nobody else's on this machine.
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("make the data folder: %w", err)
		}
	}
	identity, err := identify(filepath.Join(dir, identityFile))
	if err != nil {
		return nil, err
	}
	self, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		deps.Logger.Warn("control groups cannot be found", "error", err)
	}
	return &Driver{
		cfg: cfg, log: deps.Logger, identity: identity,
		cache:   files.NewCache(filepath.Join(dir, cacheFolder), deps.Artefacts),
		limiter: cgroup.Detect("/sys/fs/cgroup", string(self)),
		devices: accelerator.Find(accelerator.Folder),
		pythons: interpreter.NewFinder(interpreter.FromEnvironment(cfg.Python, filepath.Join(dir, environmentsFolder))),
		changes: make(chan struct{}, 1), ready: make(chan struct{}),
		processes: map[string]*process{},
	}, nil
}

// identify gives the name of this data folder, which its processes carry.
func identify(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err == nil && len(data) > 0 {
		return strings.TrimSpace(string(data)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the data folder's identity: %w", err)
	}
	identity := strings.ToLower(rand.Text())
	if err := writeWhole(file, []byte(identity+"\n")); err != nil {
		return "", fmt.Errorf("keep the data folder's identity: %w", err)
	}
	return identity, nil
}

// Identity names this data folder; it stays the same over restarts.
func (d *Driver) Identity() string { return d.identity }

// Since is when this data folder was first used.
func (d *Driver) Since() time.Time {
	info, err := os.Stat(filepath.Join(d.cfg.DataDir, identityFile))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime().UTC()
}

// Ready is closed when processes that went on have been taken over.
func (d *Driver) Ready() <-chan struct{} { return d.ready }

// Changes is signalled when a process has changed.
func (d *Driver) Changes() <-chan struct{} { return d.changes }

// Run holds the supervisor's lock and owns all processes until ctx ends. With
// orphan grace zero it ends them then, else it leaves them to the next Run.
func (d *Driver) Run(ctx context.Context) error {
	lock, err := d.takeLock(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil // told to end while it waited
		}
		return err
	}
	defer lock.Close()
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	d.mu.Lock()
	d.running = running
	d.mu.Unlock()
	d.own(func() { d.findPython(running) })
	d.own(func() { d.sample(running) })
	d.adopt(running)
	close(d.ready)
	<-ctx.Done()
	d.mu.Lock()
	d.running = nil // nothing is started any more
	d.mu.Unlock()
	if d.cfg.OrphanGrace == 0 {
		d.endAll()
	}
	stop()
	d.owned.Wait()
	return nil
}

// takeLock waits for the supervisor's lock: scorers hold it for moments, an
// earlier process of this data folder until it has ended.
func (d *Driver) takeLock(ctx context.Context) (*os.File, error) {
	path := filepath.Join(d.cfg.DataDir, lockFile)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the supervisor's lock: %w", err)
	}
	tick := time.NewTicker(lockPause)
	defer tick.Stop()
	for waited := 0; ; waited++ {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		if waited == int(2*time.Second/lockPause) {
			d.log.Warn("waiting for another process that uses this data folder to end", "lock", path)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		}
	}
}

// own runs f in a goroutine that Run waits for.
func (d *Driver) own(f func()) {
	d.owned.Add(1)
	go func() {
		defer d.owned.Done()
		f()
	}()
}

// Start begins to start a process.
func (d *Driver) Start(l driver.Launch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.running == nil {
		return
	}
	if known := d.processes[l.Replica]; known != nil && (known.launch.Process >= l.Process || !known.over()) {
		return
	}
	p := d.newProcess(l, d.token())
	d.processes[l.Replica] = p
	ctx := d.running
	d.own(func() { p.run(ctx) })
}

// Adjust gives a running replica other settings; they survive a restart of this
// process.
func (d *Driver) Adjust(replica string, settings workload.Settings) {
	d.mu.Lock()
	p := d.processes[replica]
	d.mu.Unlock()
	if p == nil || p.over() || !p.adjust(settings) {
		return
	}
	// Without its folder it is not prepared yet, or it is over.
	if err := p.writeRecord(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.log.Warn("a replica's new settings will not survive a restart", "replica", replica, "error", err)
	}
}

// Stop ends the process of a replica.
func (d *Driver) Stop(replica string, drain bool) {
	d.mu.Lock()
	p := d.processes[replica]
	d.mu.Unlock()
	if p != nil {
		p.stop(drain)
	}
}

// Forget drops a replica whose process has ended.
func (d *Driver) Forget(replica string) {
	d.mu.Lock()
	p := d.processes[replica]
	if p == nil || !p.over() {
		d.mu.Unlock()
		return
	}
	delete(d.processes, replica)
	d.mu.Unlock()
	if err := os.RemoveAll(p.dir); err != nil {
		d.log.Warn("a replica's folder cannot be removed", "folder", p.dir, "error", err)
	}
	d.pruneLogs(p.launch.WorkloadUID)
}

// Processes lists the newest process of each replica, by replica.
func (d *Driver) Processes() []driver.Process {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []driver.Process
	for _, p := range d.processes {
		out = append(out, p.see())
	}
	slices.SortFunc(out, func(a, b driver.Process) int { return strings.Compare(a.Replica, b.Replica) })
	return out
}

// endAll drains every process and waits for the ends. What a process may take
// for that is bounded by its own drain timeout.
func (d *Driver) endAll() {
	d.mu.Lock()
	all := make([]*process, 0, len(d.processes))
	for _, p := range d.processes {
		all = append(all, p)
	}
	d.mu.Unlock()
	for _, p := range all {
		p.stop(true)
	}
	for _, p := range all {
		<-p.ended
	}
}

func (d *Driver) changed() {
	select {
	case d.changes <- struct{}{}:
	default:
	}
}

// Accelerators gives the devices of this machine.
func (d *Driver) Accelerators() []placement.Device { return slices.Clone(d.devices) }

// CheckPython says why no interpreter of this machine has what is asked.
func (d *Driver) CheckPython(ctx context.Context, ask *workload.Python) error {
	_, err := d.pythons.For(ctx, ask)
	return err
}

// findPython looks for the interpreter of most replicas ahead of the first one.
func (d *Driver) findPython(ctx context.Context) {
	found, err := d.pythons.Default(ctx)
	if err != nil {
		if ctx.Err() == nil {
			d.log.Warn("no Python for replicas", "error", err)
		}
		return
	}
	d.log.Info("Python for replicas", "path", found.Path, "version", found.Version, "packages", found.Usual())
}

// writeWhole leaves the old content or the new, also when several write the same
// file at a time.
func writeWhole(file string, data []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*.tmp")
	if err != nil {
		return err
	}
	_, err = temp.Write(data)
	if err = errors.Join(err, temp.Chmod(0o644), temp.Close()); err == nil {
		err = os.Rename(temp.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return nil
}
