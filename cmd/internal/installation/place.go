// Package installation makes backups of a whole installation and restores them:
// the streams of NATS, the artefacts, the secrets of auth, and what telemetry keeps.
//
// Guarantees:
//   - Backup changes nothing, needs no pause, and has everything that was
//     acknowledged before it began. It works on a running installation, and on the
//     data folder of one that is stopped.
//   - Restore reads all of the file against its digests before it writes anything,
//     writes only where nothing is, and leaves nothing when it fails. A data folder
//     in which it was killed is refused by whoever would start on it.
//
// Backup and Restore block until they are done; different calls may run at the
// same time.
package installation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/fairlead/fairlead/cmd/internal/assembly"
	"github.com/fairlead/fairlead/platform/artefact"
	"github.com/fairlead/fairlead/platform/backup/streams"
	"github.com/fairlead/fairlead/platform/bus"
)

// connectTimeout is how long a NATS server may take to let us in.
const connectTimeout = 15 * time.Second

// Folders and parts: a part has the name of the file or folder in a data folder.
const (
	natsFolder      = "nats"
	artefactFolder  = "artefacts"
	telemetryFolder = "telemetry"
	secretsPrefix   = "secrets/"
	streamsPrefix   = "streams/"
)

// secretFiles are the files in the data folder of auth without which its state is
// of no use.
func secretFiles() []string { return []string{assembly.AdminTokenFile, assembly.SealingKeyFile} }

// Place says where an installation is.
type Place struct {
	// DataDir is the data folder of all services in one process, or of auth.
	DataDir string
	// CertDir, NATS and Artefacts are of an installation of several processes: the
	// folder of certificates, host:port of the NATS server, and the bucket's URL.
	CertDir, NATS, Artefacts string
}

// several says whether services run in processes of their own.
func (p Place) several() bool { return p.CertDir != "" || p.NATS != "" || p.Artefacts != "" }

// Validate reports everything that is wrong.
func (p Place) Validate() error {
	var problems []error
	if p.DataDir == "" {
		problems = append(problems, errors.New("--data-dir is missing"))
	}
	if p.several() {
		for flag, value := range map[string]string{"--cert-dir": p.CertDir, "--address nats=HOST:PORT": p.NATS, "--artefacts": p.Artefacts} {
			if value == "" {
				problems = append(problems, fmt.Errorf("%s is missing: an installation of several processes needs --cert-dir, --address and --artefacts", flag))
			}
		}
	}
	return errors.Join(problems...)
}

// Deps is what code hands over.
type Deps struct {
	Logger  *slog.Logger
	Version string
	Now     func() time.Time
	// Step hears what begins, Status how it is going.
	Step, Status func(text string)
}

// fileBucket is the URL of a folder of artefacts.
func fileBucket(folder string) (string, error) {
	folder, err := filepath.Abs(folder)
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(folder), RawQuery: "create_dir=true&no_tmp_dir=true"}
	return u.String(), err
}

// openArtefacts opens the bucket of an installation, or the one in a data folder.
func openArtefacts(ctx context.Context, bucket, dataDir string) (*artefact.Store, error) {
	if bucket == "" {
		var err error
		if bucket, err = fileBucket(filepath.Join(dataDir, artefactFolder)); err != nil {
			return nil, err
		}
	}
	return artefact.Open(ctx, bucket)
}

// connection is a NATS connection and what ends with it.
type connection struct {
	Conn    *streams.Conn
	online  bool
	closers []func()
}

func (c *connection) close() {
	for _, f := range c.closers {
		f()
	}
	c.closers = nil
}

// connect reaches a NATS server that must answer soon.
func connect(ctx context.Context, target bus.Target, log *slog.Logger) (*connection, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if u, err := url.Parse(target.URL); err == nil && target.URL != "" {
		u.Host = reachable(u.Host)
		target.URL = u.String()
	}
	conn, err := bus.Connect(ctx, target, log)
	if err != nil {
		return nil, err
	}
	return &connection{Conn: conn, closers: []func(){conn.Close}}, nil
}

// reachable is where a listener on all addresses is reached from this machine.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && ip.IsUnspecified() {
		return net.JoinHostPort("localhost", port)
	}
	return address
}

// source connects to the state of an installation. When nobody runs on the data
// folder it starts a NATS server there, and keeps others out meanwhile.
func (p Place) source(ctx context.Context, log *slog.Logger) (*connection, error) {
	if p.several() {
		target, err := assembly.ServiceTarget(p.CertDir, p.NATS)
		if err != nil {
			return nil, err
		}
		c, err := connect(ctx, target, log)
		if err == nil {
			c.online = true
		}
		return c, err
	}
	if _, err := os.Stat(filepath.Join(p.DataDir, natsFolder)); err != nil {
		return nil, fmt.Errorf("%s is no data folder of fairlead up: %w", p.DataDir, err)
	}
	lock, err := assembly.LockDataDir(p.DataDir)
	if errors.Is(err, assembly.ErrInUse) {
		target, err := assembly.OperatorTarget(p.DataDir)
		if err != nil {
			return nil, err
		}
		c, err := connect(ctx, target, log)
		if err == nil {
			c.online = true
		}
		return c, err
	}
	if err != nil {
		return nil, err
	}
	c, err := startNATS(ctx, bus.Config{StoreDir: filepath.Join(p.DataDir, natsFolder)}, log)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	c.closers = append(c.closers, func() { _ = lock.Close() })
	return c, nil
}

// startNATS starts a server that only this process reaches.
func startNATS(ctx context.Context, cfg bus.Config, log *slog.Logger) (*connection, error) {
	server, err := bus.Start(ctx, cfg, bus.Deps{Logger: log})
	if err != nil {
		return nil, err
	}
	c, err := connect(ctx, bus.Target{Name: "operator", Embedded: server}, log)
	if err != nil {
		server.Close()
		return nil, err
	}
	c.closers = append(c.closers, server.Close)
	return c, nil
}
