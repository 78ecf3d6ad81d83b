package environment

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/requirement"
	"github.com/fairlead/fairlead/services/deploy/internal/reference"
)

const field = "environment_version."

var (
	variablePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)
	passwordPattern = regexp.MustCompile(`(://[^/@\s:]*):[^/@\s]*@`)
)

// ReservedName says whether a name is one of those that users cannot register.
func ReservedName(name string) bool {
	lower := strings.ToLower(name)
	return strings.HasPrefix(lower, "microsoft") || strings.HasPrefix(lower, "azureml")
}

// read checks everything and gives the content with the files' texts taken in.
func (r Registration) read() (Content, []string, error) {
	var bad apierr.Violations
	var notices []string
	switch {
	case !reference.ValidName(r.Name):
		bad.Add("environment_id", "must start with a letter or digit, hold only letters, digits, \"-\", \".\" and \"_\", and be 1 to 255 characters long")
	case ReservedName(r.Name):
		bad.Add("environment_id", "is reserved: names that begin with Microsoft or AzureML cannot be registered; take another name")
	}
	c := r.Content
	c.Variables = maps.Clone(c.Variables)
	p := &c.Python
	checkEntries(&bad, "python.conda_dependencies", p.CondaDependencies, checkConda)
	checkEntries(&bad, "python.pip_requirements", p.PipRequirements, checkPip)
	checkEntries(&bad, "python.conda_channels", p.CondaChannels, checkChannel)
	if r.CondaFile != "" {
		file := readCondaFile(r.CondaFile)
		for _, problem := range file.problems {
			bad.Add(field+"python.conda_file", "%s", problem)
		}
		p.CondaChannels = join(p.CondaChannels, file.channels)
		p.CondaDependencies = join(p.CondaDependencies, file.dependencies)
		p.PipRequirements = join(p.PipRequirements, file.pip)
		notices = append(notices, file.notices...)
		c.Variables = withDefaults(c.Variables, file.variables)
	}
	for _, line := range requirement.ParseFile(r.RequirementsFile) {
		problem := line.Problem
		if problem == nil {
			problem = withoutPassword(line.Text)
		}
		if problem != nil {
			bad.Add(field+"python.requirements_file", "line %d: %q: %s", line.Number, withoutSecrets(line.Text), problem)
			continue
		}
		p.PipRequirements = join(p.PipRequirements, []string{line.Text})
	}
	for _, name := range slices.Sorted(maps.Keys(c.Variables)) {
		if !variablePattern.MatchString(name) {
			bad.Add(field+"environment_variables", "%q is not a variable's name", name)
		}
	}
	notices = append(notices, c.checkInterpreter(&bad)...)
	notices = append(notices, c.checkDocker(r.HasPassword, &bad)...)
	return c, append(notices, c.notices()...), bad.Err()
}

func checkEntries(bad *apierr.Violations, name string, entries []string, check func(string) error) {
	for i, entry := range entries {
		if err := check(entry); err != nil {
			bad.Add(fmt.Sprintf("%s%s[%d]", field, name, i), "%q: %s", withoutSecrets(entry), err)
		}
	}
}

func checkConda(text string) error {
	_, err := requirement.ParseConda(text)
	return err
}

func checkPip(text string) error {
	if err := requirement.Check(strings.TrimSpace(text)); err != nil {
		return err
	}
	return withoutPassword(text)
}

func checkChannel(text string) error {
	if strings.TrimSpace(text) == "" || strings.ContainsAny(text, " \t\n") {
		return errors.New("must be the name or URL of a channel")
	}
	return withoutPassword(text)
}

// withoutPassword refuses URLs with a password in an entry.
func withoutPassword(text string) error {
	if !passwordPattern.MatchString(text) {
		return nil
	}
	return errors.New("holds a password: environments are not a place for secrets; put it into the configuration of pip or conda on the nodes")
}

// withoutSecrets is for telling what is wrong with an entry.
func withoutSecrets(text string) string { return passwordPattern.ReplaceAllString(text, "$1:…@") }

// checkInterpreter checks the interpreter's path. The old product's "python"
// means the one that there is.
func (c *Content) checkInterpreter(bad *apierr.Violations) []string {
	p := &c.Python
	switch {
	case p.InterpreterPath == "python" || p.InterpreterPath == "python3":
		p.InterpreterPath = ""
	case p.InterpreterPath != "" && !path.IsAbs(p.InterpreterPath):
		bad.Add(field+"python.interpreter_path", "must be an absolute path, not %q; leave it out for the interpreter that the node has", p.InterpreterPath)
	}
	if p.UserManaged && len(p.CondaDependencies)+len(p.PipRequirements) > 0 {
		return []string{"python: packages are listed and have no effect, because user_managed takes those of the node or image as they are"}
	}
	return nil
}

func (c *Content) checkDocker(hasPassword bool, bad *apierr.Violations) []string {
	d := c.Docker
	if d.BaseImage != "" && d.BaseDockerfile != "" {
		bad.Add(field+"docker", "base_image and base_dockerfile cannot both be given: drop one")
	}
	if strings.ContainsAny(d.BaseImage, " \t\n") {
		bad.Add(field+"docker.base_image", "must be an image reference, for example \"registry.example.com/team/image:1.2\"")
	}
	if d.BaseDockerfile != "" && !hasFrom(d.BaseDockerfile) {
		bad.Add(field+"docker.base_dockerfile", "has no FROM instruction: give the text of a whole Dockerfile")
	}
	if hasPassword {
		bad.Add(field+"docker.registry.password",
			"is not kept: environments are not a place for secrets; drop it and sign the machine or cluster that pulls the image in to the registry")
	}
	if d.Registry != "" && d.BaseImage == "" {
		return []string{"docker.registry has no effect without docker.base_image"}
	}
	return nil
}

func hasFrom(dockerfile string) bool {
	for line := range strings.Lines(dockerfile) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.EqualFold(fields[0], "FROM") {
			return true
		}
	}
	return false
}

// notices says what of a content is not installed, and why.
func (c Content) notices() []string {
	var served []string
	for _, text := range c.Python.PipRequirements {
		if r, err := requirement.Parse(text); err == nil && requirement.ServedByScorer(r.Name) {
			served = append(served, r.Name)
		}
	}
	for _, text := range c.Python.CondaDependencies {
		if d, err := requirement.ParseConda(text); err == nil && requirement.ServedByScorer(d.Name) {
			served = append(served, d.Name)
		}
	}
	var out []string
	if len(served) > 0 {
		out = append(out, strings.Join(served, ", ")+": the scorer itself stands in for it, it need not be installed")
	}
	if c.InferencingStack != "" {
		out = append(out, "inferencing_stack_version has no effect: every replica has the scorer")
	}
	return out
}

// join appends what is not there yet.
func join(list, more []string) []string {
	out := slices.Clone(list)
	for _, entry := range more {
		if !slices.Contains(out, entry) {
			out = append(out, entry)
		}
	}
	return out
}

// withDefaults adds what is not set.
func withDefaults(set, defaults map[string]string) map[string]string {
	if len(defaults) == 0 {
		return set
	}
	out := maps.Clone(defaults)
	maps.Copy(out, set)
	return out
}
