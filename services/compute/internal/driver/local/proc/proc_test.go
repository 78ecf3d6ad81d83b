package proc

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOwnProcess(t *testing.T) {
	t.Setenv("FAIRLEAD_NOT_AT_START", "x")
	own, err := Stat(os.Getpid())
	if err != nil || own.Zombie || own.RSSBytes <= 0 {
		t.Fatalf("%+v, %v", own, err)
	}
	// The session reads 0 where its leader is outside of this PID namespace.
	if session, err := unix.Getsid(0); err != nil || own.Session != session {
		t.Errorf("session %d, want %d, %v", own.Session, session, err)
	}
	if got := Variable(os.Getpid(), "FAIRLEAD_NOT_AT_START"); got != "" {
		t.Errorf("a variable set later reads %q", got)
	}
}

func TestKillEndsASession(t *testing.T) {
	cmd := exec.Command("sh", "-c", "sleep 300 & sleep 300")
	cmd.Env = append(os.Environ(), "FAIRLEAD_MARK=yes")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if got := Variable(cmd.Process.Pid, "FAIRLEAD_MARK"); got != "yes" && got != "" { // empty until it has executed
		t.Errorf("variable %q", got)
	}
	Kill(func(p Info) bool { return p.Session == cmd.Process.Pid })
	if err := cmd.Wait(); err == nil {
		t.Error("it was not killed")
	}
	for _, p := range List() {
		if p.Session == cmd.Process.Pid && !p.Zombie {
			t.Errorf("%+v is left", p)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("7 (a b) c) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 100 1000 25 18446744073709551615 0")
	f.Add("")
	f.Add(")")
	f.Fuzz(func(t *testing.T, text string) {
		if info, err := parse(7, text); err == nil && info.PID != 7 {
			t.Errorf("parsed %+v", info)
		}
	})
}

func TestParseTakesAnyCommand(t *testing.T) {
	got, err := parse(7, "7 (a) b (c) Z 1 7 9 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 100 1000 2 0 0")
	if err != nil || got.Session != 9 || !got.Zombie || got.RSSBytes != 2*int64(os.Getpagesize()) {
		t.Errorf("%+v, %v", got, err)
	}
}
