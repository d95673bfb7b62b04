import type { DescMessage, Message } from "@bufbuild/protobuf";
import { pathToString } from "@bufbuild/protobuf/reflect";
import { createValidator, type Validator } from "@bufbuild/protovalidate";
import type { Interceptor } from "@connectrpc/connect";
import { internal, invalidFields } from "../../errors.ts";
import { deriveStreamRequest } from "./derive.ts";

/** Violations that one answer names; a hostile request must not make a huge one. */
const VIOLATIONS_MAX = 20;

/** Checks every request message, also each one of a stream, against the contract's `buf.validate` rules. */
export function rulesInterceptor(validator: Validator = createValidator()): Interceptor {
  return (next) => (request) => {
    const schema = request.method.input;
    if (request.stream) {
      return next(deriveStreamRequest(request, checkEach(validator, schema, request.message)));
    }
    try {
      check(validator, schema, request.message);
    } catch (error) {
      return Promise.reject(error);
    }
    return next(request);
  };
}

function check(validator: Validator, schema: DescMessage, message: Message): void {
  const result = validator.validate(schema, message);
  if (result.kind === "valid") return;
  // A rule that cannot be evaluated is a mistake in the contract, not in the request.
  if (result.kind === "error") throw internal(result.error);
  throw invalidFields(
    result.violations.slice(0, VIOLATIONS_MAX).map((violation) => ({
      field: pathToString(violation.field),
      description: violation.message,
    })),
  );
}

function checkEach(
  validator: Validator,
  schema: DescMessage,
  messages: AsyncIterable<Message>,
): AsyncIterable<Message> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = messages[Symbol.asyncIterator]();
      return {
        next: () =>
          iterator.next().then((result) => {
            if (result.done !== true) check(validator, schema, result.value);
            return result;
          }),
        return: async (value) => {
          await iterator.return?.();
          return { done: true, value };
        },
      };
    },
  };
}
