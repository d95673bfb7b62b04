/** The command line: which command, and how it ends. */
import { chat } from "./commands/chat.ts";
import { doctor } from "./commands/doctor.ts";
import { migrate } from "./commands/migrate.ts";
import { serve } from "./commands/serve.ts";
import { exitCodes, toFailure, usageFailure } from "./failure.ts";
import { chatHelp, doctorHelp, overview } from "./help.ts";
import type { CliWorld } from "./world.ts";

type Command = {
  /** Undefined if the command answers `--help` itself. */
  readonly help: string | undefined;
  readonly run: (world: CliWorld) => Promise<number>;
};

const commands: Readonly<Record<string, Command>> = {
  serve: { help: undefined, run: serve },
  migrate: { help: undefined, run: migrate },
  chat: { help: chatHelp, run: chat },
  doctor: { help: doctorHelp, run: doctor },
};

const HELP_WORDS = new Set(["--help", "-h", "help"]);

/** Runs a command line; returns the exit code. */
export async function runCli(world: CliWorld): Promise<number> {
  const [name, ...args] = world.args;
  const command = commands[name ?? ""];
  try {
    if (name === undefined || HELP_WORDS.has(name)) {
      const named = commands[args[0] ?? ""];
      if (named) return await runCli({ ...world, args: [args[0] ?? "", "--help"] });
      world.stdout.write(overview);
      return exitCodes.ok;
    }
    if (!command) throw usageFailure(`There is no command "${name}".`);
    if (command.help && args.some((arg) => arg === "--help" || arg === "-h")) {
      world.stdout.write(command.help);
      return exitCodes.ok;
    }
    return await command.run({ ...world, args });
  } catch (error) {
    const failure = toFailure(error);
    world.stderr.write(`parley: ${failure.message}\n${failure.remedy}\n`);
    return failure.exitCode;
  }
}
