variable "cluster" {
  description = "Name of the deployment; the log group and the roles begin with it."
  type        = string
}

variable "name" {
  description = "Name of the task, such as edge."
  type        = string
}

variable "container_name" {
  description = "Name of the container that runs Sponge."
  type        = string
  default     = "sponge"
}

variable "image" {
  description = "Image of every container."
  type        = string
}

variable "command" {
  description = "Arguments of the binary, such as [\"edge\"]."
  type        = list(string)

  validation {
    condition     = length(var.command) > 0
    error_message = "command is at least one word: the binary's subcommand."
  }
}

variable "before" {
  description = "A container that must have succeeded before: its name, arguments, variables, secrets, and how many seconds it may take (up to 120, what Fargate grants)."
  default     = null

  type = object({
    name        = string
    command     = list(string)
    environment = map(string)
    secrets     = map(string)
    timeout     = optional(number, 120)
  })

  validation {
    condition     = var.before == null ? true : var.before.timeout >= 1 && var.before.timeout <= 120
    error_message = "before.timeout is from 1 to 120."
  }
}

variable "cpu" {
  description = "CPU units, 1024 for a core: 256, 512, 1024, 2048, 4096, 8192 or 16384."
  type        = number

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096, 8192, 16384], var.cpu)
    error_message = "cpu is one of Fargate's: 256, 512, 1024, 2048, 4096, 8192 or 16384."
  }
}

variable "memory" {
  description = "Memory in MiB; Fargate grants from 2 to 8 GiB a core, and 512 MiB for a quarter."
  type        = number

  validation {
    condition     = var.memory >= var.cpu * 2 && var.memory <= var.cpu * 8
    error_message = "memory (MiB) is from 2 to 8 times cpu."
  }
}

variable "cpu_architecture" {
  description = "ARM64 or X86_64."
  type        = string
  default     = "ARM64"

  validation {
    condition     = contains(["ARM64", "X86_64"], var.cpu_architecture)
    error_message = "cpu_architecture is ARM64 or X86_64."
  }
}

variable "environment" {
  description = "Variables, by name."
  type        = map(string)
}

variable "secrets" {
  description = "Variables whose values are secrets: ARN, or ARN:KEY:: for a key within."
  type        = map(string)
}

variable "secrets_version" {
  description = "Number that goes up when a secret's value changes, so that tasks start anew."
  type        = string
}

variable "ports" {
  description = "Ports that the container listens on, by name."
  type        = map(number)
  default     = {}
}

variable "scratch" {
  description = "Folders that may be written to; the image declares them as volumes of its user."
  type        = list(string)
  default     = []
}

variable "open_files" {
  description = "Files and sockets that the process may have open."
  type        = number
  default     = 65536
}

variable "health_command" {
  description = "Command that succeeds while the container serves; null for none."
  type        = list(string)
  default     = null
}

variable "start_period" {
  description = "Seconds for which a failing health command counts for nothing, up to 300."
  type        = number
  default     = 60
}

variable "stop_timeout" {
  description = "Seconds between being told to stop and being killed, 2 to 120."
  type        = number
  default     = 30

  validation {
    condition     = var.stop_timeout >= 2 && var.stop_timeout <= 120
    error_message = "stop_timeout is from 2 to 120: Fargate grants no more."
  }
}

variable "policy" {
  description = "What the program itself may do, as a policy's JSON; null for nothing."
  type        = string
  default     = null
}

variable "repository_arn" {
  description = "Repository that the image is pulled from."
  type        = string
}

variable "log_retention_days" {
  description = "Days that the log is kept."
  type        = number
}

variable "kms_key_arn" {
  description = "Key of secrets and log."
  type        = string
}

variable "tags" {
  description = "Tags for everything that can have them."
  type        = map(string)
  default     = {}
}
