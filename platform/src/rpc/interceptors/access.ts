import type { Interceptor } from "@connectrpc/connect";
import { Access } from "@parley/gen/parley/options/v1/access_pb";
import { permissionDenied, unauthenticated } from "../../errors.ts";
import { accessOf, bearerToken, secretsEqual } from "../access.ts";
import { callerKey } from "../caller.ts";
import { serverCallOf } from "../dispatch.ts";

type Request = Parameters<ReturnType<Interceptor>>[0];

export type AccessOptions = {
  /** What an operator's calls carry as bearer token; without one only callers in this process are operators. */
  readonly operatorToken?: string | undefined;
};

/** Enforces the contract's access option; what no option admits is refused. */
export function accessInterceptor(options: AccessOptions = {}): Interceptor {
  return (next) => (request) => {
    try {
      admit(request, options.operatorToken);
    } catch (error) {
      return Promise.reject(error);
    }
    return next(request);
  };
}

function admit(request: Request, operatorToken: string | undefined): void {
  const { kind } = request.contextValues.get(callerKey);
  switch (accessOf(request.method)) {
    case Access.PUBLIC:
      return;
    case Access.DEVICE:
      if (kind === "device") return;
      throw unauthenticated(
        "DEVICE_REQUIRED",
        "This call needs the access token of a signed-in device.",
      );
    case Access.INTERNAL:
      if (kind === "internal") return;
      throw permissionDenied("INTERNAL_ONLY", "Only other parts of the server may make this call.");
    case Access.OPERATOR:
      if (kind === "operator") return;
      admitOperator(request, operatorToken);
      return;
    default:
      // Not declared, or a value of a newer contract that would admit nobody knows whom.
      throw undeclared(request);
  }
}

function admitOperator(request: Request, operatorToken: string | undefined): void {
  const { kind } = request.contextValues.get(callerKey);
  // Whoever runs inside this process can read its memory; asking it for a token would protect nothing.
  if (kind === "internal" && serverCallOf(request)?.protocolName === "in-process") return;
  const token = bearerToken(request.header.get("authorization"));
  if (operatorToken !== undefined && token !== undefined && secretsEqual(token, operatorToken)) {
    request.contextValues.set(callerKey, { kind: "operator" });
    return;
  }
  if (kind === "device") {
    throw permissionDenied("OPERATOR_ONLY", "Only the operator may make this call.");
  }
  throw unauthenticated("OPERATOR_TOKEN_REQUIRED", "This call needs the operator's token.");
}

function undeclared(request: Request) {
  return permissionDenied(
    "ACCESS_UNDECLARED",
    "The contract does not say who may make this call.",
    {
      rpc: `${request.method.parent.typeName}/${request.method.name}`,
    },
  );
}
