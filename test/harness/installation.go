package harness

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
)

// Assembly is how the services are put together.
type Assembly string

// The assemblies.
const (
	AllInOne Assembly = "all-in-one"
	Services Assembly = "services"
)

// How long things may take, generously: a scenario that cares measures itself.
const (
	startTimeout = 30 * time.Second
	stopTimeout  = 15 * time.Second
	callTimeout  = 30 * time.Second
)

// defaultOrphanGrace is how long replicas outlive compute in the assembly of services.
const defaultOrphanGrace = time.Second

// Option changes how an installation is started.
type Option func(*Installation)

// WithOrphanGrace says how long replicas outlive compute, in the assembly of services.
func WithOrphanGrace(d time.Duration) Option {
	return func(i *Installation) { i.orphanGrace = d }
}

// WithServerArgs adds arguments to the processes that run the named service.
func WithServerArgs(service string, args ...string) Option {
	return func(i *Installation) { i.extraArgs[service] = append(i.extraArgs[service], args...) }
}

// Installation is a running Fairlead, as one test sees it.
type Installation struct {
	*site
	tb testing.TB
}

// site is what all tests of an installation see.
type site struct {
	Assembly Assembly
	// Server and Data are the base URLs of the control and the data plane, NATS
	// that of event consumers.
	Server, Data, NATS string
	// Token is the administrator's.
	Token string

	dir         string
	addresses   map[string]string
	orphanGrace time.Duration
	extraArgs   map[string][]string
	detours     map[string]func(address string) (string, error)
	reachedAt   map[string]string // the addresses that processes are told to call
	diskSize    int64
	http        *http.Client
	conn        *grpc.ClientConn
	backup      string // what it starts on; see WithBackup

	mu        sync.Mutex
	program   string // empty means Binary
	processes map[string]*process
	stopped   bool
}

// Each runs a scenario in both assemblies.
func Each(t *testing.T, scenario func(*testing.T, *Installation), options ...Option) {
	t.Helper()
	for _, assembly := range []Assembly{AllInOne, Services} {
		t.Run(string(assembly), func(t *testing.T) {
			scenario(t, Start(t, assembly, options...))
		})
	}
}

// Start starts an installation, waits until it is ready, and stops it when the
// test ends.
func Start(tb testing.TB, assembly Assembly, options ...Option) *Installation {
	tb.Helper()
	i := &Installation{tb: tb, site: &site{
		Assembly: assembly, dir: tb.TempDir(),
		addresses: map[string]string{}, orphanGrace: defaultOrphanGrace, extraArgs: map[string][]string{},
		detours: map[string]func(string) (string, error){}, processes: map[string]*process{},
	}}
	for _, o := range options {
		o(i)
	}
	i.limitDisk()
	for _, folder := range []string{i.logDir(), i.home()} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			tb.Fatal(err)
		}
	}
	names := []string{"data", "control", "nats", "auth", "telemetry", "compute", "deploy", "router", "gateway"}
	for n, address := range takeAddresses(tb, len(names)) {
		i.addresses[names[n]] = address
	}
	i.takeDetours()
	i.Data, i.Server, i.NATS = "http://"+i.addresses["data"], "http://"+i.addresses["control"], "nats://"+i.addresses["nats"]
	i.http = &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
	tb.Cleanup(i.cleanUp)
	if assembly == Services {
		i.createCerts()
	}
	i.restore()
	i.Restart(i.Names()...)
	token, err := os.ReadFile(i.TokenPath())
	if err != nil {
		tb.Fatalf("read the administrator's token: %v", err)
	}
	i.Token = strings.TrimSpace(string(token))
	return i
}

// Authority is the file of the certificate authority that the NATS listener's
// certificate is of, "" where the listener does not encrypt.
func (i *Installation) Authority() string {
	if i.Assembly == AllInOne {
		return ""
	}
	return filepath.Join(i.dir, "certs", "ca.pem")
}

// In is the installation for a subtest, which is to fail by itself.
func (i *Installation) In(tb testing.TB) *Installation {
	tb.Helper()
	return &Installation{site: i.site, tb: tb}
}

// Names are the processes, in the order of their start.
func (i *Installation) Names() []string {
	if i.Assembly == AllInOne {
		return []string{"up"}
	}
	return []string{"nats", "auth", "telemetry", "compute", "deploy", "router", "gateway"}
}

// Process names the process that a service runs in.
func (i *Installation) Process(service string) string {
	if i.Assembly == AllInOne {
		return "up"
	}
	return service
}

// PID is the process id of a service.
func (i *Installation) PID(service string) int {
	return i.process(service).cmd.Process.Pid
}

func (i *Installation) process(service string) *process {
	i.tb.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	p := i.processes[i.Process(service)]
	if p == nil {
		i.tb.Fatalf("there is no process of %s", service)
	}
	return p
}

// TokenPath is the file that holds the administrator's token.
func (i *Installation) TokenPath() string {
	return filepath.Join(i.dataDir(i.Process("auth")), "admin.token")
}

// dataDir is the folder of a process.
func (i *Installation) dataDir(name string) string { return filepath.Join(i.DataRoot(), name) }

// DataRoot is the folder of all state of the installation.
func (i *Installation) DataRoot() string { return filepath.Join(i.dir, "data") }

// bucket is the URL of the artefacts of services that each have a process.
func (i *Installation) bucket() string {
	return "file://" + filepath.Join(i.dir, "data", "artefacts") + "?create_dir=true&no_tmp_dir=true"
}

func (i *Installation) logDir() string { return filepath.Join(i.dir, "logs") }

func (i *Installation) home() string { return filepath.Join(i.dir, "home") }

func (i *Installation) createCerts() {
	i.tb.Helper()
	cmd := exec.Command(i.Program(), "certs", "create", "--dir", filepath.Join(i.dir, "certs"))
	if output, err := cmd.CombinedOutput(); err != nil {
		i.tb.Fatalf("make certificates: %v\n%s", err, output)
	}
}

// arguments is the command line of a process.
func (i *Installation) arguments(name string) []string {
	args := []string{i.Program()}
	if i.Assembly == AllInOne {
		args = append(args, "up", "--data-dir", i.dataDir(name),
			"--data-listen", i.addresses["data"], "--control-listen", i.addresses["control"], "--nats-listen", i.addresses["nats"])
		for _, more := range i.extraArgs {
			args = append(args, more...)
		}
		return args
	}
	args = append(args, "serve", name, "--data-dir", i.dataDir(name), "--cert-dir", filepath.Join(i.dir, "certs"),
		"--data-listen", i.addresses["data"], "--control-listen", i.addresses["control"],
		"--artefacts", "file://"+filepath.Join(i.DataRoot(), "artefacts")+"?create_dir=true&no_tmp_dir=true",
		"--scoring-url", i.Data, "--orphan-grace", i.orphanGrace.String())
	for _, service := range i.Names() {
		args = append(args, "--address", service+"="+i.addressFor(name, service))
	}
	return append(args, i.extraArgs[name]...)
}

// Restart starts the processes of the named services and waits until they are
// ready. They must not run.
func (i *Installation) Restart(services ...string) {
	i.tb.Helper()
	var started []*process
	for _, service := range services {
		name := i.Process(service)
		p, err := startProcess(name, filepath.Join(i.logDir(), name+".log"), i.arguments(name), environment(i.home()))
		if err != nil {
			i.tb.Fatalf("start %s: %v", name, err)
		}
		i.mu.Lock()
		i.processes[name] = p
		i.mu.Unlock()
		started = append(started, p)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for _, p := range started {
		if err := p.awaitReady(ctx); err != nil {
			i.tb.Fatal(err)
		}
	}
}

// Kill sends a signal to the process of a service and waits until it has ended.
func (i *Installation) Kill(service string, s syscall.Signal) {
	i.tb.Helper()
	p := i.process(service)
	if err := p.signal(s); err != nil {
		i.tb.Fatalf("signal %s: %v", p.name, err)
	}
	if _, err := p.awaitExit(stopTimeout); err != nil {
		i.tb.Fatal(err)
	}
}

// Stop ends the installation as an operator does. Every process must end with
// exit code 0 and leave nothing behind.
func (i *Installation) Stop() {
	i.tb.Helper()
	if err := i.stop(); err != nil {
		i.tb.Error(err)
	}
}

func (i *Installation) stop() error {
	if i.stopped {
		return nil
	}
	i.stopped = true
	if i.conn != nil {
		_ = i.conn.Close()
	}
	i.http.CloseIdleConnections()
	var problems []error
	for _, name := range slices.Backward(i.Names()) {
		i.mu.Lock()
		p := i.processes[name]
		i.mu.Unlock()
		if p == nil || !p.running() {
			continue
		}
		if err := p.signal(syscall.SIGTERM); err != nil {
			problems = append(problems, fmt.Errorf("stop %s: %w", name, err))
		}
		code, err := p.awaitExit(stopTimeout)
		if err == nil && code != 0 {
			err = fmt.Errorf("%s ended with %v when it was stopped, want exit code 0", name, p.cmd.ProcessState)
		}
		problems = append(problems, err)
	}
	return errors.Join(append(problems, i.awaitNoProcess())...)
}

// awaitNoProcess gives an error when processes of the data folder go on.
func (i *Installation) awaitNoProcess() error {
	return await(i.tb, i.orphanGrace+stopTimeout, func() error {
		left, err := i.Processes()
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("processes are left: %v", left)
		}
		return err
	})
}

// Processes lists all processes of the installation, also those that it started
// itself: scorers and their workers.
func (i *Installation) Processes() ([]Process, error) { return processesOf(i.dir) }

// Replicas lists the scorer processes.
func (i *Installation) Replicas() []Process {
	i.tb.Helper()
	all, err := i.Processes()
	if err != nil {
		i.tb.Fatal(err)
	}
	return slices.DeleteFunc(all, func(p Process) bool { return !p.Scorer() })
}

// cleanUp runs when the test ends, whatever happened.
func (i *Installation) cleanUp() {
	if !i.tb.Failed() {
		i.Stop()
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, p := range i.processes {
		_ = p.signal(syscall.SIGKILL)
	}
	for _, p := range i.processes {
		if _, err := p.awaitExit(stopTimeout); err != nil {
			i.tb.Error(err)
		}
	}
	if left, err := i.Processes(); err == nil {
		killAll(left)
	}
	if i.tb.Failed() {
		for _, name := range i.Names() {
			i.tb.Logf("the end of %s's log:\n%s", name, tail(filepath.Join(i.logDir(), name+".log"), 60))
		}
	}
}
