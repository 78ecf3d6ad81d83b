// Package session is what every command of one run shares: the streams, the
// global flags, the settings and, made on first use, the connection.
//
// A Session serves one command at a time.
package session

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/progress"
	"github.com/fairlead/fairlead/cmd/internal/settings"
	"github.com/fairlead/fairlead/platform/resourcename"
)

// Streams are where a command reads and writes.
type Streams struct {
	In          io.Reader
	Out, Err    io.Writer
	OutTerminal bool
	ErrTerminal bool
	Width       func() int // of the terminal behind Err; nil means a usual one
}

// Deps are what the program hands over.
type Deps struct {
	Streams Streams
	Getenv  func(string) string
	HomeDir string
	Version string
	Now     func() time.Time
	// ChoosePython finds the interpreter that scores with; nil when the program
	// cannot score.
	ChoosePython func(context.Context) (string, error)
	// PythonPath gives the program of that interpreter; nil means python3.
	PythonPath func(context.Context) (string, error)
}

// Session is one run of the command line.
type Session struct {
	Deps

	flags   settings.Flags
	format  string
	noColor bool
	verbose bool
	timeout time.Duration

	resolved *settings.Settings
	client   *client.Client
}

// New makes a session.
func New(deps Deps) *Session {
	if deps.Streams.Width == nil {
		deps.Streams.Width = func() int { return usualWidth }
	}
	return &Session{Deps: deps}
}

// BindFlags adds the global flags.
func (s *Session) BindFlags(fs *pflag.FlagSet) {
	fs.StringVar(&s.flags.Server, "server", "", "address of the control plane ("+settings.ServerVariable+"; default "+settings.DefaultServer+")")
	fs.StringVar(&s.flags.TokenFile, "token-file", "", "file with the bearer token ("+settings.TokenVariable+"; default the local administrator's)")
	fs.StringVarP(&s.flags.Workspace, "workspace", "w", "", "workspace ("+settings.WorkspaceVariable+"; default \""+settings.DefaultWorkspace+"\")")
	fs.StringVarP(&s.format, "output", "o", string(output.Table), "output: "+strings.Join(output.Formats(), ", "))
	fs.BoolVar(&s.noColor, "no-color", false, "no colours (NO_COLOR)")
	fs.BoolVarP(&s.verbose, "verbose", "v", false, "show the calls that are made")
	fs.DurationVar(&s.timeout, "timeout", 0, "give up after so long, for example 90s (exit code 124)")
}

// Command is the body of a command.
type Command func(ctx context.Context, args []string) error

// Run makes a body out of f: with --timeout, and with the connection closed at the end.
func (s *Session) Run(f Command) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		defer s.close()
		if _, err := s.Format(); err != nil {
			return Usagef(cmd, "%v", err)
		}
		ctx := cmd.Context()
		if s.timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeoutCause(ctx, s.timeout, failure.ErrTimeout)
			defer cancel()
		}
		return s.explain(ctx, f(ctx, args))
	}
}

// explain turns an error into what the user sees, while it is known what the
// command talked to.
func (s *Session) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	f := failure.From(err, s.Connection())
	if errors.Is(failure.Ended(ctx, err), failure.ErrTimeout) && f.Code != failure.TimedOut {
		return failure.From(failure.ErrTimeout, failure.Connection{}) // the call was cut off by it
	}
	return f
}

func (s *Session) close() {
	if s.client != nil {
		_ = s.client.Close()
		s.client = nil
	}
}

// Settings finds the settings.
func (s *Session) Settings() (settings.Settings, error) {
	if s.resolved == nil {
		r, err := settings.Resolve(s.flags, settings.Environment{Getenv: s.Getenv, HomeDir: s.HomeDir})
		if err != nil {
			return settings.Settings{}, &failure.Failure{Code: failure.Usage, Message: err.Error(), Err: err}
		}
		s.resolved = &r
	}
	return *s.resolved, nil
}

// Connection explains failures to connect.
func (s *Session) Connection() failure.Connection {
	set, err := s.Settings()
	if err != nil {
		return failure.Connection{}
	}
	return failure.Connection{Server: set.Server.Value, TokenSource: set.TokenSource}
}

// Client gives the connection.
func (s *Session) Client() (*client.Client, error) {
	if s.client != nil {
		return s.client, nil
	}
	set, err := s.Settings()
	if err != nil {
		return nil, err
	}
	s.client, err = client.Dial(set, s.Version, s.Logger())
	return s.client, err
}

// Logger writes to stderr what -v asks for.
func (s *Session) Logger() *slog.Logger {
	level := slog.LevelWarn
	if s.verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(s.Streams.Err, &slog.HandlerOptions{Level: level}))
}

// Parent gives the name of the workspace.
func (s *Session) Parent() (string, error) {
	set, err := s.Settings()
	if err != nil {
		return "", err
	}
	return resourcename.Format("workspaces", set.Workspace.Value), nil
}

// Name gives the full name of something in the workspace; a full name stays as it is.
func (s *Session) Name(collection, id string) (string, error) {
	if strings.HasPrefix(id, "workspaces/") {
		return id, nil
	}
	parent, err := s.Parent()
	if err != nil {
		return "", err
	}
	return resourcename.Format(parent, collection, id), nil
}

// Find reads what a command is about from --name or the one argument: its full
// name in the collection, and the client to ask for it. what names it in errors.
func (s *Session) Find(cmd *cobra.Command, collection, what string, args []string) (string, *client.Client, error) {
	id, err := One(cmd, "name", what, args)
	if err != nil {
		return "", nil, err
	}
	name, err := s.Name(collection, id)
	if err != nil {
		return "", nil, err
	}
	c, err := s.Client()
	return name, c, err
}

// Format gives the output format.
func (s *Session) Format() (output.Format, error) { return output.ParseFormat(s.format) }

// Paint says whether to colour what goes to a stream.
func (s *Session) Paint(terminal bool) output.Paint {
	return output.Paint(terminal && !s.noColor && s.Getenv("NO_COLOR") == "" && s.Getenv("TERM") != "dumb")
}

// Print prints a document to stdout.
func (s *Session) Print(d output.Document) error {
	format, err := s.Format()
	if err != nil {
		return err
	}
	return output.Printer{Out: s.Streams.Out, Format: format, Paint: s.Paint(s.Streams.OutTerminal)}.Print(d)
}

// Progress begins to show work on stderr.
func (s *Session) Progress(title string) *progress.Display {
	live := s.Streams.ErrTerminal && s.Getenv("TERM") != "dumb" && !s.verbose
	return progress.Start(progress.Config{
		Out: s.Streams.Err, Live: live, Paint: s.Paint(s.Streams.ErrTerminal), Width: s.Streams.Width, Now: s.Now,
	}, title)
}
