package assembly

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fairlead/fairlead/platform/bus"
	"github.com/fairlead/fairlead/platform/rpc"
)

// SealingKeyFile is the file in the data folder of auth with the key that seals
// secrets in its state.
const SealingKeyFile = "sealing.key"

// UnfinishedRestore is a folder in a data folder that a restore did not end in.
const UnfinishedRestore = "restore.unfinished"

// ErrInUse is matched by the error for a data folder that a process uses.
var ErrInUse = errors.New("in use")

// LockDataDir keeps others out of a data folder until the file is closed, or the
// process ends.
func LockDataDir(dir string) (*os.File, error) { return lockDataDir(dir) }

// checkRestored refuses a data folder that holds half of an installation.
func checkRestored(dir string) error {
	if _, err := os.Lstat(filepath.Join(dir, UnfinishedRestore)); err == nil {
		return fmt.Errorf("a restore into %s was interrupted: empty the folder and restore again", dir)
	}
	return nil
}

// services lets Fairlead's own processes in by their password, and asks next about
// everybody else.
func services(password string, next bus.Authenticator) bus.Authenticator {
	return func(ctx context.Context, c bus.Credential) (bus.Access, error) {
		if c.User == natsUser && subtle.ConstantTimeCompare([]byte(c.Password), []byte(password)) == 1 {
			return bus.ServiceAccess(), nil
		}
		return next(ctx, c)
	}
}

// certified refuses services that do not show a service's certificate: their
// password alone is not enough where a listener may be reached from outside.
func certified(next bus.Authenticator) bus.Authenticator {
	return func(ctx context.Context, c bus.Credential) (bus.Access, error) {
		if c.User == natsUser && rpc.ServiceOf(c.Certificate) == "" {
			return bus.Access{}, errors.New("a service must connect with its certificate")
		}
		return next(ctx, c)
	}
}

// operators lets in who can read the data folder, where the password is: with the
// folder they have everything that is behind it.
func operators(dataDir string, next bus.Authenticator) (bus.Authenticator, error) {
	password := rand.Text() + rand.Text()
	path := filepath.Join(dataDir, natsPasswordFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("replace the NATS password: %w", err)
	}
	if err := os.WriteFile(path, []byte(password), 0o600); err != nil {
		return nil, fmt.Errorf("write the NATS password: %w", err)
	}
	return services(password, next), nil
}

// OperatorTarget is the NATS server of the installation that runs on a data folder.
func OperatorTarget(dataDir string) (bus.Target, error) {
	addresses, err := ReadAddresses(dataDir)
	if err != nil {
		return bus.Target{}, err
	}
	if addresses.NATS == "" {
		return bus.Target{}, errors.New("the running installation has no NATS listener: stop it, or start it with --nats-listen 127.0.0.1:4222")
	}
	password, err := os.ReadFile(filepath.Join(dataDir, natsPasswordFile))
	if err != nil {
		return bus.Target{}, fmt.Errorf("read the NATS password: %w", err)
	}
	return serviceTarget("operator", string(password), addresses.NATS), nil
}

// ServiceTarget is the NATS server of an installation of several processes, as the
// operator who has the folder of certificates reaches it: with the certificate of
// auth, beside whose data the operator works.
func ServiceTarget(certDir, address string) (bus.Target, error) {
	password, err := os.ReadFile(filepath.Join(certDir, natsPasswordFile))
	if err != nil {
		return bus.Target{}, fmt.Errorf("read the services' NATS password: %w", err)
	}
	return certifiedTarget("operator", certDir, authService, string(password), address)
}
