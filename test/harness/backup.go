package harness

import (
	"path/filepath"
	"syscall"
)

// WithBackup starts the installation on what a backup holds.
func WithBackup(file string) Option {
	return func(i *Installation) { i.backup = file }
}

// WithProgram runs another program than Binary gives, such as an older one.
func WithProgram(path string) Option {
	return func(i *Installation) { i.program = path }
}

// UseProgram makes the processes that are started from now on run another program.
func (i *Installation) UseProgram(path string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.program = path
}

// Program is the program that processes run.
func (i *Installation) Program() string {
	i.tb.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.program != "" {
		return i.program
	}
	return Binary(i.tb)
}

// Backup writes a backup as an operator does.
func (i *Installation) Backup(file string) {
	i.tb.Helper()
	i.Run(append([]string{"backup", "-o", file}, i.place()...)...)
}

// place are the arguments that say where the installation is.
func (i *Installation) place() []string {
	args := []string{"--data-dir", i.dataDir(i.Process("auth"))}
	if i.Assembly == AllInOne {
		return args
	}
	return append(args, "--cert-dir", filepath.Join(i.dir, "certs"), "--address", "nats="+i.addresses["nats"], "--artefacts", i.bucket())
}

// restore brings the backup in, before services start.
func (i *Installation) restore() {
	i.tb.Helper()
	if i.backup == "" {
		return
	}
	if i.Assembly == Services {
		i.Restart("nats")
		defer i.Kill("nats", syscall.SIGTERM)
	}
	i.Run(append([]string{"restore", i.backup}, i.place()...)...)
}
