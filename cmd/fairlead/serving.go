package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead/fairlead/cmd/internal/assembly"
)

// serving are the flags that up and serve share.
type serving struct {
	dataDir, dataListen, controlListen, healthListen string
	logLevel                                         string
	local                                            assembly.LocalConfig
	telemetry                                        assembly.TelemetryConfig
	auth                                             assembly.AuthConfig
	issuers                                          []string
	clockOffset                                      time.Duration
}

func (f *serving) bind(cmd *cobra.Command, dataDir string) {
	fs := cmd.Flags()
	fs.StringVar(&f.dataDir, "data-dir", dataDir, "folder of all state (FAIRLEAD_DATA_DIR)")
	fs.StringVar(&f.dataListen, "data-listen", "127.0.0.1:8080", "address of the data plane: scoring")
	fs.StringVar(&f.controlListen, "control-listen", "127.0.0.1:8081", "address of the control plane: REST and gRPC")
	f.bindAuth(fs)
	fs.StringVar(&f.healthListen, "health-listen", "", "address of /healthz and /readyz for probes and of /metrics for Prometheus, all without a token; empty means none")
	fs.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error; the log is on stderr")
	f.telemetry = assembly.DefaultTelemetry()
	fs.DurationVar(&f.telemetry.KeepFigures, "keep-figures", f.telemetry.KeepFigures, "how long counts and percentiles of requests are kept")
	fs.DurationVar(&f.telemetry.KeepRequests, "keep-requests", f.telemetry.KeepRequests, "how long records of single requests are kept")
	fs.Int64Var(&f.telemetry.MaxBytes, "telemetry-max-bytes", f.telemetry.MaxBytes, "how much telemetry may take on disk; the oldest goes first")
	fs.IntVar(&f.local.Nodes, "local-nodes", 3, "how many nodes the target \"local\" declares")
	fs.StringVar(&f.local.NodeSize, "local-node-size", "Standard_D3_v2", "size of the nodes of the target \"local\"")
	fs.StringVar(&f.local.Python, "python", os.Getenv("FAIRLEAD_PYTHON"),
		"interpreter of entry scripts (FAIRLEAD_PYTHON); empty means the python3 that has most of the packages that models need")
	fs.DurationVar(&f.clockOffset, "clock-offset", 0, "by how much services' clocks are ahead of the machine's; for tests of clocks that disagree")
	_ = fs.MarkHidden("clock-offset") // it fails for a flag that is not there only
}

// clock is what services decide by; nil for the machine's.
func (f *serving) clock() func() time.Time {
	if f.clockOffset == 0 {
		return nil
	}
	return func() time.Time { return time.Now().Add(f.clockOffset) }
}

func (f *serving) logger(stderr io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return nil, fmt.Errorf("--log-level %q: must be debug, info, warn or error", f.logLevel)
	}
	return slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level})), nil
}

// complete reads what is written in short, and fills in what only this program
// knows.
func (f *serving) complete() error {
	for _, text := range f.issuers {
		i, err := parseIssuer(text)
		if err != nil {
			return err
		}
		f.auth.Issuers = append(f.auth.Issuers, i)
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	f.local.ScorerCommand = []string{exe, scorerCommand}
	f.dataDir, err = filepath.Abs(f.dataDir)
	return err
}

func upCommand(dataDir string) *cobra.Command {
	var flags serving
	var natsListen string
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run all of Fairlead in this process",
		Long: `Runs all services, an embedded NATS server and the local compute driver in this
process. When all is up it prints the line "ready". SIGTERM ends it; a killed
process loses nothing that was acknowledged.`,
		Example: `  fairlead up
  fairlead up --data-dir /srv/fairlead --data-listen 0.0.0.0:8080`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := flags.logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if err := flags.complete(); err != nil {
				return err
			}
			return assembly.Up(cmd.Context(), assembly.UpConfig{
				DataDir:       flags.dataDir,
				DataListen:    flags.dataListen,
				ControlListen: flags.controlListen,
				NATSListen:    natsListen,
				HealthListen:  flags.healthListen,
				Local:         flags.local,
				Auth:          flags.auth,
				Telemetry:     flags.telemetry,
			}, assembly.Deps{Logger: log, Stdout: cmd.OutOrStdout(), Version: version, Getenv: os.Getenv, Clock: flags.clock()})
		},
	}
	flags.bind(cmd, dataDir)
	cmd.Flags().StringVar(&natsListen, "nats-listen", "127.0.0.1:4222", "address for event consumers by NATS; empty means none")
	return cmd
}

func serveCommand(dataDir string) *cobra.Command {
	var flags serving
	var cfg assembly.ServeConfig
	cmd := &cobra.Command{
		Use:   "serve SERVICE...",
		Short: "Run some of Fairlead's services in this process",
		Long: `Runs the named services in this process, for an installation of one process per
service. Services talk by gRPC with mutual TLS; "fairlead certs create" makes
what they know each other by. The services are: ` + strings.Join(assembly.Services(), ", ") + `.`,
		Example: `  fairlead certs create --dir certs
  fairlead serve nats --cert-dir certs --data-dir data/nats --address nats=127.0.0.1:4222 --address auth=127.0.0.1:7001`,
		Args:      cobra.MinimumNArgs(1),
		ValidArgs: assembly.Services(),
		RunE: func(cmd *cobra.Command, args []string) error {
			log, err := flags.logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if err := flags.complete(); err != nil {
				return err
			}
			cfg.Services, cfg.DataDir, cfg.Local, cfg.Telemetry, cfg.Auth = args, flags.dataDir, flags.local, flags.telemetry, flags.auth
			cfg.DataListen, cfg.ControlListen, cfg.HealthListen = flags.dataListen, flags.controlListen, flags.healthListen
			return assembly.Serve(cmd.Context(), cfg, assembly.Deps{Logger: log, Stdout: cmd.OutOrStdout(), Version: version, Getenv: os.Getenv, Clock: flags.clock()})
		},
	}
	flags.bind(cmd, dataDir)
	fs := cmd.Flags()
	fs.StringVar(&cfg.CertDir, "cert-dir", "", "folder made by \"fairlead certs create\"")
	fs.StringToStringVar(&cfg.Addresses, "address", nil, "SERVICE=HOST:PORT of a service that runs here or is called; give it for each")
	fs.StringVar(&cfg.Artefacts, "artefacts", "", "bucket of file contents that deploy writes and compute reads, as a URL such as file:///srv/fairlead/artefacts")
	fs.StringVar(&cfg.ScoringURL, "scoring-url", "", "where callers reach the data plane, for scoring URIs")
	fs.DurationVar(&cfg.OrphanGrace, "orphan-grace", 24*time.Hour, "how long replicas go on without the compute service")
	return cmd
}

func certsCommand() *cobra.Command {
	var dir string
	var hosts []string
	create := &cobra.Command{
		Use:   "create",
		Short: "Make a certificate authority, a certificate for each service and the services' NATS password",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := assembly.CreateCerts(dir, hosts, time.Now()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "made certificates for %s in %s\n", strings.Join(assembly.Services(), ", "), dir)
			return nil
		},
	}
	create.Flags().StringVar(&dir, "dir", "certs", "the folder; it must not have an authority yet")
	create.Flags().StringSliceVar(&hosts, "host", nil, "a further name or address under which services are reached")
	certs := &cobra.Command{Use: "certs", Short: "Make what services know each other by"}
	certs.AddCommand(create)
	return certs
}

func envCommand(dataDir string) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "env",
		Short:   "Print shell settings for the installation that runs on a data folder",
		Example: `  eval "$(fairlead env --data-dir /srv/fairlead)"`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := assembly.ReadAddresses(dataDir)
			if err != nil {
				return err
			}
			token, err := os.ReadFile(filepath.Join(dataDir, assembly.AdminTokenFile))
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "export FAIRLEAD_SERVER=http://%s\n", a.Control)
			fmt.Fprintf(out, "export FAIRLEAD_DATA_URL=http://%s\n", a.Data)
			fmt.Fprintf(out, "export FAIRLEAD_NATS_URL=nats://%s\n", a.NATS)
			fmt.Fprintf(out, "export FAIRLEAD_TOKEN=%s\n", strings.TrimSpace(string(token)))
			return nil
		},
	}
	cmd.Flags().StringVar(&dataDir, "data-dir", dataDir, "folder of all state (FAIRLEAD_DATA_DIR)")
	return cmd
}
