package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/services/compute/internal/driver/local/cgroup"
	"github.com/fairlead/fairlead/services/compute/internal/driver/local/files"
	"github.com/fairlead/fairlead/services/compute/internal/driver/local/interpreter"
	"github.com/fairlead/fairlead/services/compute/internal/driver/local/proc"
)

const (
	appFolder    = "app"
	modelsFolder = "azureml-models"
	workFolder   = "run"
	// collectedFolder has what data collectors write, by workspace and endpoint.
	collectedFolder = "modeldata"
)

// timeoutMargin is how much later than the router a scorer gives a request up:
// the router's answer says what happened, the scorer's only frees the worker.
// longestTimeout is the longest that an endpoint can have: timeouts may be raised
// while a scorer runs, so it goes by that.
const (
	timeoutMargin  = 5 * time.Second
	longestTimeout = 5 * time.Minute
)

// prepare chooses the interpreter, so that a mismatch is known before anything
// is fetched, and lays out the folder of the replica.
func (p *process) prepare(ctx context.Context) error {
	var err error
	if p.python, err = p.driver.pythons.For(ctx, p.launch.Spec.Python); err != nil {
		if needsPython(p.launch.Spec) || !noPython(err) {
			return err
		}
		p.python = interpreter.Interpreter{}
	}
	for _, dir := range []string{p.dir, filepath.Join(p.dir, modelsFolder), filepath.Join(p.dir, workFolder), filepath.Dir(p.driver.logName(p.launch.WorkloadUID, p.launch.Replica))} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make the replica's folder: %w", err)
		}
	}
	if err := p.driver.nameLogs(p.launch.WorkloadUID, p.launch.Workload); err != nil {
		return fmt.Errorf("name the replica's log: %w", err)
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(p.dir, appFolder)), os.RemoveAll(filepath.Join(p.dir, addressFile)), os.RemoveAll(filepath.Join(p.dir, failureFile))); err != nil {
		return fmt.Errorf("clean the replica's folder: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(p.dir, appFolder), 0o755); err != nil { // also where there is no source
		return fmt.Errorf("make the replica's folder: %w", err)
	}
	// Scripts may write beside themselves, so the source is copied; models are big and shared.
	if err := p.driver.cache.Lay(ctx, p.launch.Spec.Source, filepath.Join(p.dir, appFolder), files.Copy); err != nil {
		return err
	}
	for _, m := range p.launch.Spec.Models {
		dir := filepath.Join(p.dir, modelsFolder, m.Name, strconv.FormatInt(m.Version, 10))
		if err := p.driver.cache.Lay(ctx, m.Files, dir, files.Link); err != nil {
			return fmt.Errorf("model %s:%d: %w", m.Name, m.Version, err)
		}
	}
	return nil
}

// spawn writes the record, then starts the process and puts it under its limits.
func (p *process) spawn() error {
	if err := p.writeRecord(); err != nil {
		return err
	}
	output, err := p.log.Begin()
	if err != nil {
		return err
	}
	defer output.Close()
	argv, err := p.command()
	if err != nil {
		return err
	}
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:noctx // it may outlive this driver; its end is the work of stop
	cmd.Dir = filepath.Join(p.dir, appFolder)
	cmd.Env = p.environment(os.Environ())
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	spec := p.launch.Spec
	p.group, err = p.driver.limiter.Create(p.groupName(), cgroup.Limits{MilliCPU: spec.Limit.MilliCPU, MemoryBytes: spec.Limit.MemoryBytes})
	if err != nil {
		p.driver.log.Warn("limits are not enforced by the kernel", "replica", p.launch.Replica, "error", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the scorer: %w", err)
	}
	p.cmd = cmd
	p.runsAs(cmd.Process.Pid)
	p.enter()
	return nil
}

// enter puts the process into its group, and what it may have started before.
func (p *process) enter() {
	if p.group == nil {
		return
	}
	err := p.group.Enter(p.pid)
	for _, other := range proc.List() {
		if other.Session == p.pid && other.PID != p.pid {
			err = errors.Join(err, p.group.Enter(other.PID))
		}
	}
	if err != nil && !errors.Is(err, unix.ESRCH) {
		p.driver.log.Warn("limits are not enforced by the kernel", "replica", p.launch.Replica, "error", err)
	}
}

func (p *process) groupName() string {
	return groupPrefix + p.driver.identity + "-" + p.launch.Replica + "-" + strconv.Itoa(p.launch.Process)
}

// findGroup gives the group of a process that was taken over.
func (d *Driver) findGroup(p *process) *cgroup.Group {
	spec := p.launch.Spec
	group, err := d.limiter.Create(p.groupName(), cgroup.Limits{MilliCPU: spec.Limit.MilliCPU, MemoryBytes: spec.Limit.MemoryBytes})
	if err != nil {
		d.log.Warn("the control group of a replica is not found", "replica", p.launch.Replica, "error", err)
	}
	return group
}

// command gives the scorer's command line.
func (p *process) command() ([]string, error) {
	spec := p.launch.Spec
	models := filepath.Join(p.dir, modelsFolder)
	model := models
	if len(spec.Models) == 1 {
		model = filepath.Join(models, spec.Models[0].Name, strconv.FormatInt(spec.Models[0].Version, 10))
	}
	command := append(slices.Clone(p.driver.cfg.ScorerCommand),
		"--listen", "127.0.0.1:0",
		"--address-file", filepath.Join(p.dir, addressFile), "--failure-file", filepath.Join(p.dir, failureFile),
		"--source-dir", filepath.Join(p.dir, appFolder),
		"--model-dir", model, "--models-root", models,
		"--scoring-timeout", (max(spec.ScoringTimeout, longestTimeout) + timeoutMargin).String(),
		"--drain-timeout", max(spec.DrainTimeout, longestTimeout).String(),
		"--run-dir", filepath.Join(p.dir, workFolder),
		"--supervisor-lock", filepath.Join(p.driver.cfg.DataDir, lockFile),
		"--orphan-grace", p.driver.cfg.OrphanGrace.String(),
	)
	if spec.Limit.MemoryBytes > 0 {
		command = append(command, "--memory-limited")
	}
	if p.python.Path != "" {
		command = append(command, "--python", p.python.Path)
	}
	flags, err := runtimeFlags(spec)
	return append(command, flags...), err
}

// environment gives what a script needs of the machine's environment, without
// what may be secret, then hints, then what the user set, then what is fixed.
func (p *process) environment(own []string) []string {
	spec := p.launch.Spec
	var env []string
	for _, entry := range own {
		name, _, _ := strings.Cut(entry, "=")
		if slices.Contains(inherited(), name) || strings.HasPrefix(name, "LC_") {
			env = append(env, entry)
		}
	}
	cpu := spec.Limit.MilliCPU
	if cpu == 0 {
		cpu = spec.Request.MilliCPU
	}
	threads := strconv.FormatInt(max(1, min((cpu+999)/1000, int64(runtime.NumCPU()))), 10)
	for _, name := range []string{"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "GOMAXPROCS"} {
		env = append(env, name+"="+threads)
	}
	names := make([]string, 0, len(spec.Environment))
	for name := range spec.Environment {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		env = append(env, name+"="+spec.Environment[name])
	}
	env = append(env, p.collection()...)
	env = append(env, tokenVariable+"="+p.token, "HOSTNAME="+p.launch.Replica)
	if spec.Endpoint != "" {
		// The names by which the scorer is asked in tensors, and those of its swagger.
		env = append(env, "SERVICE_NAME="+resourcename.Last(spec.Endpoint), "SERVICE_VERSION="+spec.Version, "SERVICE_PATH_PREFIX="+servicePath(spec.Endpoint))
	}
	if len(p.driver.devices) > 0 {
		env = append(env, "CUDA_VISIBLE_DEVICES="+strings.Join(p.launch.Devices, ","))
	}
	return env
}

// servicePath is where callers find an endpoint, for its swagger.
func servicePath(endpoint string) string {
	path := "/service/" + resourcename.Last(endpoint)
	if workspace := resourcename.Workspace(endpoint); workspace != "default" {
		path = "/workspaces/" + workspace + path
	}
	return "/api/v1" + path
}

// collection says where the script's data collectors write: beside those of the
// endpoint's other versions.
func (p *process) collection() []string {
	spec := p.launch.Spec
	if !spec.CollectModelData {
		return []string{"AML_MODEL_DC_STORAGE_ENABLED=false"}
	}
	endpoint := resourcename.Last(spec.Endpoint)
	if endpoint == "" {
		endpoint = resourcename.Last(p.launch.Workload)
	}
	folder := filepath.Join(p.driver.cfg.DataDir, collectedFolder, resourcename.Workspace(p.launch.Workload), endpoint)
	return []string{"AML_MODEL_DC_STORAGE_ENABLED=true", "FAIRLEAD_MODEL_DATA=" + folder}
}

func inherited() []string {
	return []string{
		"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME",
		"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CUDA_HOME", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES",
		"FAIRLEAD_ONNXRUNTIME",
	}
}
