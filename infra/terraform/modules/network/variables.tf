variable "name" {
  description = "Name of the deployment."
  type        = string
}

variable "cidr" {
  description = "IPv4 range of the VPC, a /16."
  type        = string
  default     = "10.64.0.0/16"

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && endswith(var.cidr, "/16")
    error_message = "cidr is an IPv4 range with a /16 mask, such as 10.64.0.0/16."
  }
}

variable "zones" {
  description = "Names of the availability zones to spread over, two or three; the order decides their addresses."
  type        = list(string)

  validation {
    condition     = contains([2, 3], length(distinct(var.zones))) && length(distinct(var.zones)) == length(var.zones)
    error_message = "zones are two or three different ones."
  }
}

variable "nat" {
  description = "NAT gateways: none, single or per_zone. Sponge itself needs none where endpoints serve the private subnets."
  type        = string
  default     = "none"

  validation {
    condition     = contains(["none", "single", "per_zone"], var.nat)
    error_message = "nat is none, single or per_zone."
  }
}

variable "endpoints" {
  description = "AWS services that get an interface endpoint in each private subnet, such as ecr.dkr."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for e in var.endpoints : can(regex("^[a-z0-9][a-z0-9.-]*$", e))])
    error_message = "endpoints are short names of AWS services, such as ecr.dkr or logs."
  }
}

variable "inner_ports" {
  description = "Ports within the VPC that a role (edge, workers, audit) may call: by role, then by the service's name."
  type        = map(map(number))

  validation {
    condition     = alltrue([for ports in values(var.inner_ports) : alltrue([for port in values(ports) : port > 0 && port < 65536])])
    error_message = "inner_ports are from 1 to 65535."
  }
}

variable "flow_log_traffic" {
  description = "Traffic that flow logs record: ALL, ACCEPT or REJECT."
  type        = string
  default     = "REJECT"

  validation {
    condition     = contains(["ALL", "ACCEPT", "REJECT"], var.flow_log_traffic)
    error_message = "flow_log_traffic is ALL, ACCEPT or REJECT."
  }
}

variable "log_retention_days" {
  description = "Days that flow logs are kept; one that CloudWatch offers."
  type        = number
  default     = 365
}

variable "kms_key_arn" {
  description = "Key that logs are encrypted with."
  type        = string
}

variable "tags" {
  description = "Tags for everything that can have them."
  type        = map(string)
  default     = {}
}
