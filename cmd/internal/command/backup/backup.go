// Package backup has the commands that back a whole installation up, look at
// backups and restore them.
//
// The commands work on the installation itself, not through its control plane:
// they need its data folder. They hold nothing between calls.
package backup

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/cmd/internal/installation"
	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/progress"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/cmd/internal/settings"
	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/backup"
)

// place are the flags that say where an installation is.
type place struct {
	installation.Place
	addresses map[string]string
}

func (p *place) bind(cmd *cobra.Command, s *session.Session) {
	folder := s.Getenv(settings.DataDirVariable)
	if folder == "" {
		folder = settings.DefaultDataDir(s.HomeDir)
	}
	fs := cmd.Flags()
	fs.StringVar(&p.DataDir, "data-dir", folder, "data `FOLDER` of \"fairlead up\", or of the auth service ("+settings.DataDirVariable+")")
	fs.StringVar(&p.CertDir, "cert-dir", "", "`FOLDER` made by \"fairlead certs create\", where each service has its process")
	fs.StringToStringVar(&p.addresses, "address", nil, "nats=HOST:PORT, where each service has its process")
	fs.StringVar(&p.Artefacts, "artefacts", "", "bucket `URL` of file contents, where each service has its process")
}

func (p *place) resolve(cmd *cobra.Command) (installation.Place, error) {
	for name, address := range p.addresses {
		if name == "nats" { // those of other services are of no use here, and do no harm
			p.NATS = address
		}
	}
	if err := p.Validate(); err != nil {
		return p.Place, session.Usagef(cmd, "%v", err)
	}
	return p.Place, nil
}

// work gives what the work needs, and shows it on display.
func work(s *session.Session, display *progress.Display) installation.Deps {
	return installation.Deps{
		Logger: s.Logger(), Version: s.Version, Now: s.Now,
		Step:   func(text string) { display.Step(s.Now(), text) },
		Status: display.Status,
	}
}

// Command makes the command "backup".
func Command(s *session.Session) *cobra.Command {
	var at place
	var file string
	cmd := session.Group(&cobra.Command{
		Use:   "backup",
		Short: "Back up a whole installation",
		Long: `Writes one file that holds a whole installation at one instant: state, events,
artefacts, secrets and telemetry. The installation may run, and is not disturbed.

The file holds the keys of all endpoints, and the key to read them: keep it as
you keep passwords. "fairlead restore" makes an installation of it.`,
		Example: `  fairlead backup -o fairlead-monday.zip
  fairlead backup -o b.zip --data-dir data/auth --cert-dir certs --address nats=127.0.0.1:4222 --artefacts file:///srv/fairlead/artefacts
  fairlead backup verify fairlead-monday.zip`,
	}, showCommand(s), verifyCommand(s))
	at.bind(cmd, s)
	cmd.Flags().StringVarP(&file, "output", "o", "", "`FILE` to write; it must not exist")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		if len(args) > 0 {
			return session.UnknownCommand(cmd, args[0])
		}
		if err := session.Required(cmd, "output"); err != nil {
			return err
		}
		from, err := at.resolve(cmd)
		if err != nil {
			return err
		}
		display := s.Progress("Backing up " + from.DataDir)
		m, err := installation.Backup(ctx, from, file, work(s, display))
		display.End(err == nil)
		if err != nil {
			return explain(err)
		}
		return s.Print(document(file, m))
	})
	return cmd
}

// Restore makes the command "restore".
func Restore(s *session.Session) *cobra.Command {
	var at place
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make an installation of a backup",
		Long: `Makes a data folder, which must be empty or absent, of a backup. Everything is
checked before anything is written, and a restore that fails leaves nothing. Then
"fairlead up" serves the same endpoints with the same keys.

The installation that was backed up must not go on beside the restored one where
both would answer for the same callers.`,
		Example: `  fairlead restore fairlead-monday.zip --data-dir /srv/fairlead
  fairlead up --data-dir /srv/fairlead`,
	}
	at.bind(cmd, s)
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		file, err := oneFile(cmd, args)
		if err != nil {
			return err
		}
		to, err := at.resolve(cmd)
		if err != nil {
			return err
		}
		r, err := backup.Open(file)
		if err != nil {
			return explain(err)
		}
		display := s.Progress("Restoring into " + to.DataDir)
		err = installation.Restore(ctx, to, r, work(s, display))
		display.End(err == nil)
		if err = errors.Join(err, r.Close()); err != nil {
			return explain(err)
		}
		m := r.Manifest()
		return s.Print(output.Document{
			Value: summarise(file, m),
			Names: []string{to.DataDir},
			Text: func(t *output.Text) {
				t.Linef("restored %s as it was at %s", to.DataDir, m.Taken.Format(timeFormat))
				if to.CertDir == "" {
					t.Linef("start it with: fairlead up --data-dir %s", to.DataDir)
				}
			},
		})
	})
	return cmd
}

func showCommand(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show FILE",
		Short:   "Show what a backup holds",
		Example: "  fairlead backup show fairlead-monday.zip -o json",
	}
	cmd.RunE = s.Run(func(_ context.Context, args []string) error {
		file, err := oneFile(cmd, args)
		if err != nil {
			return err
		}
		r, err := backup.Open(file)
		if err != nil {
			return explain(err)
		}
		return errors.Join(s.Print(document(file, r.Manifest())), r.Close())
	})
	return cmd
}

func verifyCommand(s *session.Session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "verify FILE",
		Short:   "Read all of a backup and compare it with its digests",
		Example: "  fairlead backup verify fairlead-monday.zip",
	}
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		file, err := oneFile(cmd, args)
		if err != nil {
			return err
		}
		r, err := backup.Open(file)
		if err != nil {
			return explain(err)
		}
		display := s.Progress("Verifying " + filepath.Base(file))
		err = installation.Verify(ctx, r, work(s, display))
		display.End(err == nil)
		if err = errors.Join(err, r.Close()); err != nil {
			return explain(err)
		}
		return s.Print(document(file, r.Manifest()))
	})
	return cmd
}

func oneFile(cmd *cobra.Command, args []string) (string, error) {
	switch {
	case len(args) == 0:
		return "", session.Usagef(cmd, "say which FILE")
	case len(args) > 1:
		return "", session.Usagef(cmd, "unexpected argument %q", args[1])
	}
	return args[0], nil
}

// explain shows our own errors with all their words; they come from no server.
func explain(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	f := &failure.Failure{Code: failure.Error, Message: err.Error(), Err: err}
	if apierr.KindOf(err) == apierr.DataLoss {
		f = f.ThenTry("restore an older backup")
	}
	return f
}
