package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/services/compute/internal/driver/local/files"
	"github.com/fairlead/fairlead/services/compute/internal/driver/local/interpreter"
	"github.com/fairlead/fairlead/services/compute/internal/driver/local/logfile"
	"github.com/fairlead/fairlead/services/compute/internal/driver/local/proc"
	"github.com/fairlead/fairlead/services/compute/internal/pythonenv"
	"github.com/fairlead/fairlead/services/compute/internal/replica"
	"github.com/fairlead/fairlead/services/compute/internal/resource"
)

// Reasons are stable: programs and tests go by them.
const (
	reasonStart       = "StartError"
	reasonScript      = "ScriptError"
	reasonEnvironment = "EnvironmentMismatch"
	reasonNoPython    = "PythonMissing"
	reasonDigest      = "DigestMismatch"
	reasonDisk        = "DiskFull"
	reasonMemory      = "OutOfMemory"
	reasonPort        = "PortNotOpened"
	reasonInit        = "InitTimeout"
	reasonProbe       = "ProbeTimeout"
	reasonStopped     = "Stopped"
)

const failureFile = "failure.json"

// scriptError is the exit code of a scorer whose script cannot start.
const scriptError = 3

// whyNotStarted says why a process could not be started, and whether trying
// again with the same files and interpreter is hopeless.
func whyNotStarted(err error) (cause replica.Cause, hopeless bool) {
	if mismatch, ok := errors.AsType[*pythonenv.MismatchError](err); ok {
		return replica.Cause{Reason: reasonEnvironment, Message: mismatch.Error()}, true
	}
	if digest, ok := errors.AsType[*files.DigestError](err); ok {
		return replica.Cause{Reason: reasonDigest, Message: digest.Error()}, true
	}
	if space, ok := errors.AsType[*files.SpaceError](err); ok {
		return replica.Cause{Reason: reasonDisk, Message: space.Error()}, false
	}
	switch {
	case errors.Is(err, interpreter.ErrNone):
		return replica.Cause{Reason: reasonNoPython, Message: err.Error()}, true
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		return replica.Cause{Reason: reasonDisk, Message: "the disk is full: " + err.Error() + "; make room, it is tried again"}, false
	}
	return replica.Cause{Reason: reasonStart, Message: err.Error()}, false
}

// explain says why a process has ended, with what it wrote last.
func (p *process) explain(w *watch, status exitStatus) (cause replica.Cause, cannotStart bool) {
	words := logfile.LastWords(p.driver.logName(p.launch.WorkloadUID, p.launch.Replica), lastWords)
	switch {
	case w.cause.Reason != "":
		cause, cannotStart = w.cause, w.cause.Reason == reasonInit || w.cause.Reason == reasonPort
	case p.group.OOMKills() > 0:
		cause = p.outOfMemory(p.group.PeakBytes())
	case p.asked(p.drain):
		return replica.Cause{Reason: reasonStopped, Message: "ended as it was told to"}, false
	case status.known && status.code == scriptError:
		cause, cannotStart = p.told(words), true
	case status.signal == 0 && p.left().Reason != "":
		cause = p.left()
	case status.known && status.signal != 0:
		cause = replica.Cause{Reason: replica.Killed, Message: fmt.Sprintf("the process was killed by signal %d (%s)", status.signal, status.signal)}
		if status.signal == syscall.SIGKILL {
			cause.Message += "; if nobody did that, the machine has run out of memory"
		}
	case status.known:
		cause = replica.Cause{Reason: replica.Exited, Message: fmt.Sprintf("the process ended with exit code %d", status.code)}
	default:
		cause = replica.Cause{Reason: replica.Exited, Message: "the process ended"}
	}
	cause.LogLines = withoutEcho(words, cause.Message)
	return cause, cannotStart
}

// told reads what the scorer has left about a script that cannot start; its last
// words say it for a scorer that could not leave anything.
func (p *process) told(words []string) replica.Cause {
	if left := p.left(); left.Reason != "" {
		return left
	}
	cause := replica.Cause{Reason: reasonScript, Message: "the script cannot start"}
	if line := lastLine(words); line != "" {
		cause.Message = strings.TrimPrefix(line, scorerPrefix)
	}
	return cause
}

// left reads what the scorer has left about its end; zero when there is nothing.
func (p *process) left() replica.Cause {
	var left struct{ Reason, Message string }
	data, err := os.ReadFile(filepath.Join(p.dir, failureFile))
	if err != nil || json.Unmarshal(data, &left) != nil || left.Reason == "" || left.Message == "" {
		return replica.Cause{}
	}
	return replica.Cause{Reason: left.Reason, Message: left.Message}
}

// scorerPrefix begins the line with which a scorer ends.
const scorerPrefix = "scorer: "

// withoutEcho leaves out the lines that only say the message again.
func withoutEcho(lines []string, message string) []string {
	var out []string
	for _, line := range lines {
		if strings.TrimPrefix(line, scorerPrefix) != message {
			out = append(out, line)
		}
	}
	return out
}

func lastLine(lines []string) string {
	for i := len(lines) - 1; i >= 0; i-- {
		if line := strings.TrimSpace(lines[i]); line != "" {
			return line
		}
	}
	return ""
}

// outOfMemory says what was asked, used and allowed.
func (p *process) outOfMemory(used int64) replica.Cause {
	spec := p.launch.Spec
	text := "out of memory:"
	if used > 0 {
		text += " used " + resource.Memory(used) + ","
	}
	return replica.Cause{Reason: reasonMemory, Message: fmt.Sprintf("%s limit %s, asked %s; raise the memory limit, use fewer workers (WORKER_COUNT), or a smaller model",
		text, resource.Memory(spec.Limit.MemoryBytes), resource.Memory(spec.Request.MemoryBytes))}
}

// overLimit says whether the memory of a process that the kernel does not watch
// is beyond its limit, and how much it is.
func (p *process) overLimit() (used int64, over bool) {
	used = proc.SessionRSS(p.pid)
	return used, used > p.launch.Spec.Limit.MemoryBytes
}

// silence says why a process that does not answer is given up.
func (p *prober) silence(r probeResult, listened bool) replica.Cause {
	probe := p.settings()
	switch {
	case p.wasReady:
		return replica.Cause{Reason: reasonProbe, Message: fmt.Sprintf(
			"did not answer its liveness probe %d times in a row (%s): a call of run() that never lets go of the interpreter, or too little processor; look at its log, or raise the probe's timeout (%s) or failure threshold",
			probe.FailureThreshold, r.failure, probe.Timeout)}
	case listened:
		return replica.Cause{Reason: reasonInit, Message: fmt.Sprintf(
			"init() had not returned %s after the start (%s): make it faster, or raise the liveness probe's initial delay (%s)",
			p.patience().Round(time.Millisecond), r.failure, probe.InitialDelay)}
	}
	return replica.Cause{Reason: reasonPort, Message: fmt.Sprintf(
		"had not opened its port %s after the start (%s): the machine is overloaded, or the scorer cannot start; look at its log",
		p.patience().Round(time.Millisecond), r.failure)}
}
