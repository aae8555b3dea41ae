variable "cluster" {
  description = "Name of the deployment."
  type        = string
}

variable "ecs_cluster_arn" {
  description = "ECS cluster that the service runs on."
  type        = string
}

variable "ecs_cluster_name" {
  description = "Its name."
  type        = string
}

variable "image" {
  description = "Image to run."
  type        = string
}

variable "command" {
  description = "Arguments of the binary."
  type        = list(string)
  default     = ["edge"]
}

variable "health_command" {
  description = "Command that succeeds while the edge serves."
  type        = list(string)
}

variable "health_path" {
  description = "Path of the health check on the metrics port."
  type        = string
}

variable "ports" {
  description = "Ports: frames, web and metrics of an edge; tls and wss of the balancer, which uses the port of frames as it is."
  type        = object({ frames = number, web = number, metrics = number, tls = number, wss = number })

  validation {
    condition     = length(distinct(values(var.ports))) == length(values(var.ports))
    error_message = "ports must differ from each other."
  }
}

variable "metrics" {
  description = "Namespace and name of the metric that counts an edge's connections."
  type        = object({ namespace = string, connections = string })
}

variable "cpu" {
  description = "CPU units of an edge, 1024 for a core."
  type        = number
  default     = 1024
}

variable "memory" {
  description = "Memory of an edge in MiB."
  type        = number
  default     = 4096
}

variable "capacity_provider" {
  description = "FARGATE, or FARGATE_SPOT: a third of the price, taken back with two minutes' notice."
  type        = string
  default     = "FARGATE"

  validation {
    condition     = contains(["FARGATE", "FARGATE_SPOT"], var.capacity_provider)
    error_message = "capacity_provider is FARGATE or FARGATE_SPOT."
  }
}

variable "cpu_architecture" {
  description = "ARM64 or X86_64."
  type        = string
  default     = "ARM64"
}

variable "count_min" {
  description = "Edges at least, from 1."
  type        = number
  default     = 2

  validation {
    condition     = var.count_min >= 1
    error_message = "count_min is at least 1."
  }
}

variable "count_max" {
  description = "Edges at most."
  type        = number
  default     = 20

  validation {
    condition     = var.count_max >= var.count_min
    error_message = "count_max is at least count_min."
  }
}

variable "connections_per_edge" {
  description = "Connections of an edge that autoscaling aims at."
  type        = number
  default     = 20000

  validation {
    condition     = var.connections_per_edge >= 100
    error_message = "connections_per_edge is at least 100."
  }
}

variable "cpu_target" {
  description = "CPU in per cent that autoscaling aims at, 10 to 90."
  type        = number
  default     = 55

  validation {
    condition     = var.cpu_target >= 10 && var.cpu_target <= 90
    error_message = "cpu_target is from 10 to 90."
  }
}

variable "drain_timeout" {
  description = "Seconds that a stopping edge waits for outstanding answers, 5 to 100. It is killed 15 seconds later, and Fargate grants 120 in all."
  type        = number
  default     = 15

  validation {
    condition     = var.drain_timeout >= 5 && var.drain_timeout <= 100
    error_message = "drain_timeout is from 5 to 100."
  }
}

variable "deregistration_delay" {
  description = "Seconds between leaving the balancer and being told to stop, 0 to 3600: as long as the balancer may need to stop sending new connections."
  type        = number
  default     = 60

  validation {
    condition     = var.deregistration_delay >= 0 && var.deregistration_delay <= 3600
    error_message = "deregistration_delay is from 0 to 3600."
  }
}

variable "idle_timeout" {
  description = "Seconds without a packet after which the plain listener forgets a connection, 60 to 6000."
  type        = number
  default     = 6000

  validation {
    condition     = var.idle_timeout >= 60 && var.idle_timeout <= 6000
    error_message = "idle_timeout is from 60 to 6000."
  }
}

variable "plain_tcp" {
  description = "Whether clients may connect without TLS."
  type        = bool
  default     = false
}

variable "client_cidrs" {
  description = "IPv4 ranges that clients connect from."
  type        = list(string)
  default     = ["0.0.0.0/0"]

  validation {
    condition     = length(var.client_cidrs) > 0 && alltrue([for cidr in var.client_cidrs : can(cidrhost(cidr, 0))])
    error_message = "client_cidrs are IPv4 ranges, such as 0.0.0.0/0."
  }
}

variable "internal" {
  description = "Whether the balancer has private addresses only."
  type        = bool
  default     = false
}

variable "domain" {
  description = "Name that clients connect to; with zone_id it gets a record and, unless there is one, a certificate."
  type        = string
  default     = null
}

variable "zone_id" {
  description = "Route 53 zone of that name; null if it is not there."
  type        = string
  default     = null

  validation {
    condition     = var.zone_id == null || var.domain != null
    error_message = "zone_id needs a domain."
  }
}

variable "certificate_arn" {
  description = "Certificate in ACM; null to have one made for the domain."
  type        = string
  default     = null

  validation {
    condition     = var.certificate_arn != null || (var.domain != null && var.zone_id != null)
    error_message = "Either certificate_arn, or domain and zone_id to have a certificate made."
  }
}

variable "tls_policy" {
  description = "What the balancer accepts of TLS."
  type        = string
  default     = "ELBSecurityPolicy-TLS13-1-2-Res-2021-06"

  validation {
    condition     = startswith(var.tls_policy, "ELBSecurityPolicy-TLS13-1-")
    error_message = "tls_policy is one with TLS 1.3, such as ELBSecurityPolicy-TLS13-1-2-Res-2021-06."
  }
}

variable "deletion_protection" {
  description = "Whether the balancer refuses to be deleted."
  type        = bool
  default     = true
}

variable "environment" {
  description = "Variables of the role."
  type        = map(string)
}

variable "secrets" {
  description = "Variables of the role that are secret: ARNs."
  type        = map(string)
}

variable "secrets_version" {
  description = "Changes with the secrets' values."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "balancer_subnet_ids" {
  description = "Subnets of the balancer: public ones, unless it is internal."
  type        = list(string)
}

variable "subnet_ids" {
  description = "Subnets of the edges."
  type        = list(string)
}

variable "assign_public_ip" {
  description = "Whether edges have public addresses, which they need in a public subnet."
  type        = bool
  default     = false
}

variable "security_group_id" {
  description = "Security group of the edges."
  type        = string
}

variable "repository_arn" {
  description = "Repository of the image."
  type        = string
}

variable "log_retention_days" {
  description = "Days that the log is kept."
  type        = number
  default     = 365
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
