package model

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairlead/fairlead/cmd/internal/client"
	"github.com/fairlead/fairlead/cmd/internal/deployment"
	"github.com/fairlead/fairlead/cmd/internal/failure"
	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/packaging"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/cmd/internal/upload"
	"github.com/fairlead/fairlead/platform/apierr"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

const packageExample = `  fairlead model package -m diabetes:1 --ic inferenceconfig.json --output-path ./image
  fairlead model package -m diabetes:1 --es score.py -e sklearn:2 --output-path ./image --fairlead-image registry.example.com/fairlead:1.0`

const packageLong = `Writes a Docker build context: a Dockerfile, the script, the models' files, and
the packages that the environment asks for. The image answers at /score on port
5001, as the images of the old product did; the README.md in the folder says how
to build and run it. No container engine is needed here.

The image needs the fairlead program: this one is copied into the context where
it runs on Linux and needs no libraries; else name another one, or an image
that has it at /usr/local/bin/fairlead.

The same input gives the same bytes. Everything that is wrong is reported at
once, and then nothing is written.`

// packaged is what `model package` was asked to do, and what was found for it.
type packaged struct {
	flags             *deployment.Flags
	condaFile, output string
	program, image    string
	overwrite         bool

	parent  string
	draft   *deployment.Draft
	bad     apierr.Violations
	context packaging.Context
}

func packageCommand(s *session.Session) *cobra.Command {
	p := &packaged{flags: &deployment.Flags{}}
	cmd := &cobra.Command{
		Use: "package", Short: "Write a Docker build context of a script with its models",
		Long: packageLong, Example: packageExample, Args: session.NoArgs,
	}
	fs := cmd.Flags()
	p.flags.BindScript(fs)
	fs.StringVar(&p.condaFile, "cf", "", "conda `FILE` of the environment, instead of a registered one (--conda-file)")
	fs.StringVar(&p.output, "output-path", "", "folder to write; it must be empty or not exist")
	fs.BoolVar(&p.overwrite, "overwrite", false, "replace what an earlier \"model package\" wrote")
	fs.StringVar(&p.program, "fairlead-program", "", "`FILE` of the fairlead program for Linux to copy; default this one")
	fs.StringVar(&p.image, "fairlead-image", "", "`IMAGE` that has the program, instead of a copy")
	cmd.RunE = s.Run(func(ctx context.Context, _ []string) error {
		if err := session.Required(cmd, "output-path"); err != nil {
			return err
		}
		return p.run(ctx, s)
	})
	s.CompleteFlag(cmd, "model", IDs)
	_ = cmd.MarkFlagDirname("output-path") // it fails for a flag that is not there only
	return cmd
}

func (p *packaged) run(ctx context.Context, s *session.Session) error {
	c, err := s.Client()
	if err != nil {
		return err
	}
	if p.parent, err = s.Parent(); err != nil {
		return err
	}
	if err := p.gather(ctx, s, c); err != nil {
		return err
	}
	for _, i := range p.draft.Ignored {
		s.Notef("ignored: %s: %s", i.Field, i.Description)
	}
	if len(p.bad) > 0 {
		f := failure.New(failure.Error, "the package cannot be made; nothing was written")
		f.Violations = p.bad
		return f
	}
	recipe, err := p.context.Recipe()
	if err != nil {
		return err
	}
	for _, n := range recipe.Notices {
		s.Notef("note: %s", n)
	}
	display := s.Progress("Packaging " + p.what())
	var before int64 // of the models that are here
	down := &upload.Downloader{Artefacts: c.Artefacts, Progress: func(received, total int64) {
		display.Status(output.Bytes(before+received) + " fetched")
		if received == total {
			before += total
		}
	}}
	display.Step(s.Now(), "fetching models and writing "+p.output)
	err = p.context.Write(ctx, down, p.output, p.overwrite)
	display.End(err == nil)
	if err != nil {
		return err
	}
	return p.print(s)
}

func (p *packaged) what() string {
	var ids []string
	for _, m := range p.context.Models {
		ids = append(ids, m.GetId())
	}
	if len(ids) == 0 {
		return p.context.EntryScript
	}
	return strings.Join(ids, ", ")
}

// gather finds everything and notes all that is wrong.
func (p *packaged) gather(ctx context.Context, s *session.Session, c *client.Client) error {
	draft, err := deployment.Maker{Endpoints: c.Endpoints, Parent: p.parent, Scope: deployment.NewEndpoint, NeedsScript: true}.Make(ctx, p.flags)
	if err != nil {
		return err
	}
	p.draft, p.bad = draft, draft.Problems()
	for _, note := range draft.Notes {
		s.Notef("%s", note)
	}
	if p.context.Models, err = findModels(ctx, s, draft.Version.GetModels(), &p.bad); err != nil {
		return err
	}
	p.takeCondaFile()
	environment, err := p.environment(ctx, s, c)
	if err != nil {
		return err
	}
	p.context.EntryScript = draft.Version.GetEntryScript()
	p.takeEnvironment(environment)
	p.takeProgram(s)
	if err := packaging.Check(p.output, p.overwrite); err != nil {
		p.bad.Add("--output-path", "%v", err)
	} else if p.context.Source, err = packaging.Outside(draft.Files, p.output); err != nil {
		return err
	}
	if len(p.context.Models) > 0 {
		p.checkRoom()
	}
	if _, err := p.context.Recipe(); err != nil {
		for _, v := range apierr.FromStatus(err).Violations {
			p.bad.Add("environment."+v.Field, "%s", v.Description)
		}
	}
	return nil
}

// checkRoom refuses files where the models go.
func (p *packaged) checkRoom() {
	for _, f := range p.context.Source {
		if strings.HasPrefix(f.Path, "azureml-models/") {
			p.bad.Add("sourceDirectory", "has a folder azureml-models, where the models of the image go; rename it")
			return
		}
	}
}

// findModels reads the models that are named.
func findModels(ctx context.Context, s *session.Session, ids []string, bad *apierr.Violations) ([]*deployv1.ModelVersion, error) {
	c, err := s.Client()
	if err != nil {
		return nil, err
	}
	var out []*deployv1.ModelVersion
	seen := map[string]bool{}
	for _, id := range ids {
		name, err := resourceName(s, id)
		if err != nil {
			return nil, err
		}
		m, err := c.Models.GetModelVersion(ctx, &deployv1.GetModelVersionRequest{Name: name})
		switch e := apierr.FromStatus(err); {
		case err == nil && seen[m.GetName()]:
			bad.Add("-m "+id, "is given twice")
		case err == nil:
			seen[m.GetName()] = true
			out = append(out, m)
		case e.Kind == apierr.NotFound || e.Kind == apierr.InvalidArgument:
			bad.Add("-m "+id, "%s", told(e))
		default:
			return nil, err
		}
	}
	return out, nil
}

// told gives what an error says, in one line.
func told(e *apierr.Error) string {
	if len(e.Violations) == 1 {
		return e.Violations[0].Description
	}
	return e.Message
}

// takeProgram finds the program that the image gets.
func (p *packaged) takeProgram(s *session.Session) {
	switch {
	case p.image != "" && p.program != "":
		p.bad.Add("--fairlead-image", "cannot be given together with --fairlead-program: drop one")
		return
	case p.image != "" && strings.ContainsAny(p.image, " \t\r\n$\"'\\"):
		p.bad.Add("--fairlead-image", "must be an image reference, for example \"registry.example.com/fairlead:1.0\"")
		return
	case p.image != "":
		p.context.FairleadImage = p.image
		return
	}
	field, path := "--fairlead-program", p.program
	if path == "" {
		field = "--fairlead-image"
		var err error
		if path, err = os.Executable(); err != nil {
			p.bad.Add(field, "say which image has the program: where this one is cannot be found (%v)", err)
			return
		}
	}
	program, err := packaging.ReadProgram(path)
	switch {
	case err != nil && p.program == "":
		p.bad.Add(field, "say which image has the program, or give --fairlead-program FILE: %v", err)
	case err != nil:
		p.bad.Add(field, "%v", err)
	case program.Loader != "" && p.program == "":
		p.bad.Add(field, "say which image has the program, or give --fairlead-program FILE: this one needs the system's libraries (%s); one built with CGO_ENABLED=0 does not", program.Loader)
	default:
		if program.Loader != "" {
			s.Notef("note: %s needs %s and the libraries of the system that it was built on; the image must have them", path, program.Loader)
		}
		p.context.Program, p.context.Platform = path, program.Platform
	}
}

func (p *packaged) print(s *session.Session) error {
	ids := []string{}
	for _, m := range p.context.Models {
		ids = append(ids, m.GetId())
	}
	err := s.Print(output.Document{
		Value: map[string]any{
			"path": p.output, "models": ids, "environment": p.context.Environment.ID, "entryScript": p.context.EntryScript,
			"platform": p.context.Platform, "fairleadImage": p.context.FairleadImage,
		},
		Names: []string{p.output},
		Text:  func(t *output.Text) { t.Linef("%s", output.Clean(p.output)) },
	})
	if err != nil {
		return err
	}
	if p.context.Program != "" {
		s.Notef("the program %s is in it, for %s", p.context.Program, p.context.Platform)
	}
	s.Notef("next: %s", fmt.Sprintf("docker build -t NAME %s && docker run -p 5001:5001 NAME", p.output))
	return nil
}
